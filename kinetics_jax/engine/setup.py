"""What an engine is set up from: its parts checked, its sizes settled, its device made."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from kinetics_jax.attention import PagedPlan
from kinetics_jax.checks import shown
from kinetics_jax.engine import capacity
from kinetics_jax.engine.config import EngineConfig
from kinetics_jax.engine.device import Device
from kinetics_jax.engine.state import StateSizes
from kinetics_jax.errors import InputError
from kinetics_jax.models import Transformer
from kinetics_jax.policies import Policy
from kinetics_jax.shapes.mesh import check_mesh
from pallas_kernels import BF16_BITS, self_test

MOST_STOP_IDS = 8


def check_parts(
    model: Transformer, policy: object, tokenizer: object, mesh: jax.sharding.Mesh | None
) -> None:
    """Raise ``InputError`` for parts that no engine can have: of the wrong kind, or not for each other."""
    if model.dtype == jnp.float16:
        raise InputError("a float16 model cannot be decoded; load it in bfloat16 or float32")
    if not isinstance(policy, Policy):
        hint = ", such as parse_policy reads" if isinstance(policy, str) else ""
        raise InputError(f"policy={shown(policy)} must be a policy of kinetics_jax.policies{hint}")
    if tokenizer is not None and not all(
        callable(getattr(tokenizer, name, None)) for name in ("encode", "decode", "chat")
    ):
        raise InputError(
            f"tokenizer={shown(tokenizer)} must have encode, decode and chat; models.load_tokenizer opens one"
        )
    if not model.config.name:
        raise InputError("the model's config has no name, and samples are kept under it: name it")
    mesh = mesh or model.layout.mesh
    if mesh is not None:  # on which every device might hold, and compute, the whole of what it should split
        ways = dict(mesh.shape)
        expert = ways.get("expert", 1) if model.config.moe else 1  # else it splits sequences alone
        check_mesh(model.config, model=ways.get("model", 1), expert=expert)


def settled(config: EngineConfig, model: Transformer, policy: Policy) -> tuple[EngineConfig, Policy]:
    """``config`` with all but ``slots`` said, and the policy as it runs.

    Raises ``InputError`` for a context longer than the model's, and for a policy that does not run on
    these pages or is not for this model.
    """
    page_size, policy = config.on_pages(policy)
    most = model.config.max_context
    if config.max_context is not None and config.max_context > most:
        raise InputError(f"max_context={config.max_context} is more than the {most} of {model.config.name}")
    config = dataclasses.replace(
        config,
        page_size=page_size,
        max_context=config.max_context or most,
        cache_dtype=config.cache_dtype or default_cache_dtype(model),
    )
    make_plan(model, policy, config)
    return config, policy


def make_plan(
    model: Transformer, policy: Policy, config: EngineConfig, slots: int = 1, pool_pages: int = 1
) -> PagedPlan:
    """The plan of a cache for so many slots of a lane. ``config`` is settled."""
    assert config.page_size, "settled"
    return PagedPlan.of(
        model.config,
        policy,
        page_size=config.page_size,
        pool_pages=pool_pages,
        rows=slots + config.prompt_rows,
        implementation=config.implementation,
        sharding=model.cache_sharding(model.layout.ways(model.layout.batch_axes)),
    )


def make_device(model: Transformer, policy: Policy, config: EngineConfig) -> Device:
    """The device side, with as many slots as asked or as fit. ``config`` is settled.

    Raises ``InputError`` where not one sequence fits, and ``SelfTestError`` where an accelerator computes
    wrong results.
    """
    assert config.max_context, "settled"
    assert config.page_size, "settled"
    devices = devices_of(model)
    pages = -(-config.max_context // config.page_size)
    head_dim = head_dim_stored(model.config.head_dim, devices[0].platform)
    slots, rows, dtype = config.slots, config.prompt_rows, jnp.dtype(config.cache_dtype)
    if slots is None:
        each = capacity.sequence_bytes(make_plan(model, policy, config), model.config, pages, dtype, head_dim)
        free = capacity.least_free_bytes(devices)
        slots = capacity.slots_that_fit(each, free, rows, config.memory_fraction)
    plan = make_plan(model, policy, config, slots, pool_pages=1 + (slots + rows) * pages)
    if devices[0].platform != "cpu":  # a driver and a compiler may agree on nothing but zeros
        self_test(devices[0], implementation=config.implementation)
    sizes = StateSizes(slots, rows, pages, MOST_STOP_IDS, config.repetition, dtype, head_dim)
    return Device(model, plan, sizes, prefill_chunk=config.prefill_chunk)


def devices_of(model: Transformer) -> list[jax.Device]:
    """The devices of this process that hold the model."""
    mesh = model.layout.mesh
    if mesh is not None:
        return list(mesh.local_devices)
    return list(model.embed.weight[...].devices())


def head_dim_stored(head_dim: int, platform: str) -> int:
    """Head dim of the pool: a multiple of 128 where kernels want it (TPU, GPU), else as it is."""
    return -(-head_dim // 128) * 128 if platform in ("tpu", "gpu", "cuda") else head_dim


def default_cache_dtype(model: Transformer) -> Any:
    """The model's dtype; on a CPU bfloat16 is held as its bits, as XLA there widens bfloat16 pools whole."""
    on_cpu = devices_of(model)[0].platform == "cpu"
    return BF16_BITS if on_cpu and model.dtype == jnp.bfloat16 else model.dtype
