"""What an engine's samples are known by: digests of the weights and the tokenizer it decodes with.

The digest of weights is of the bits in memory. It does not depend on files, layout over devices, or
whether layers are stacked, and each device reads only what it holds.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from kinetics_jax.engine.config import EngineConfig
from kinetics_jax.engine.requests import Request
from kinetics_jax.engine.sample_log import Finished
from kinetics_jax.errors import InputError
from kinetics_jax.models import Tokenizer, Transformer, decode_all
from kinetics_jax.policies import Policy
from kinetics_jax.records import RecordedDeployment
from kinetics_jax.records.provenance import DIGEST_LENGTH, experiment, plain, tokens_digest
from pallas_kernels import BF16_BITS

_ON_HOST_BYTES = 1 << 20
"""Arrays up to this size are hashed with NumPy: compiling a program for them would take longer."""
_SEEDS = (0x9E3779B9, 0x85EBCA6B)
"""One 32-bit sum each."""


def engine_identity(model: Transformer, tokenizer: Tokenizer | None, config: EngineConfig) -> dict[str, Any]:
    """What an engine gives all its samples, as plain data; ``records.provenance`` says what for."""
    return plain(
        {
            "weights": weights_digest(model),
            "dtype": jnp.dtype(model.dtype).name,
            "quantize": model.quantization,
            "cache_dtype": _cache_dtype(config),
            "tokenizer": tokenizer_digest(tokenizer),
            "repetition": config.repetition,
            "shape": model.config.to_dict(),
        }
    )


def deployment_of(model: Transformer, config: EngineConfig, slots: int, kind: str) -> dict[str, Any]:
    """What an engine runs on, as samples keep it (``records.RecordedDeployment``); it decides no token.

    Args:
      model: on its mesh.
      config: settled.
      slots: of all lanes.
      kind: of the devices, as JAX calls it.
    """
    assert config.page_size, "settled"
    ways = dict(model.layout.mesh.shape) if model.layout.mesh else {}
    copy = ways.get("model", 1) * (ways.get("expert", 1) if model.config.moe else 1)
    copies = math.prod(ways.values()) // copy
    dtype = jnp.dtype(model.dtype).name
    return RecordedDeployment(
        slots=slots // copies,
        tensor_parallel=copy,
        weight_dtype=model.quantization or dtype,
        kv_dtype=_cache_dtype(config),
        compute_dtype=dtype,
        page_size=config.page_size,
        device=kind,
    ).to_stored()


def _cache_dtype(config: EngineConfig) -> str:
    return "bfloat16" if config.cache_dtype == BF16_BITS else jnp.dtype(config.cache_dtype).name


def provenance_of(identity: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """What decides the samples of a request, their trials apart, as plain data."""
    decoding = request.decoding
    return plain(
        {
            **identity,
            **dataclasses.asdict(decoding.sampling),
            "stop_ids": sorted(request.stop_ids),
            "stop_strings": sorted(decoding.stop_strings),
            "thinking_budget": decoding.thinking_budget,
            "prompt": tokens_digest(request.tokens),
        }
    )


def check_finished(
    done: Finished, identity: Mapping[str, Any], model: str, policy: Policy, requests: Iterable[Request]
) -> None:
    """Raise ``LogError`` where the log's samples are not of these requests' experiment."""
    for request in requests:
        made, sampling = provenance_of(identity, request), request.decoding.sampling
        here = experiment(
            made, model=model, policy=policy, seed=sampling.seed, temperature=sampling.temperature
        )
        prompt = {
            "prompt": made["prompt"],
            "prompt_tokens": len(request.tokens),
            "max_tokens": request.max_tokens,
        }
        done.check(here, (request.problem.task, request.problem.problem_id), prompt)


def weights_digest(model: Transformer) -> str:
    """Of every weight: its name, dtype, shape and bits. One read of the weights.

    Every process of a multi-process run must call it, since devices add up what they hold.
    """
    digest = hashlib.sha256()
    lines = []
    for path, array in model.arrays().items():
        stacked = path.startswith("layers.") and not model.unrolled
        name = path.removeprefix("layers.")
        rows = _sums(array) if stacked else [_sum(array)]
        shape = array.shape[1:] if stacked else array.shape
        for layer, row in enumerate(rows):
            whole = f"layers.{layer}.{name}" if stacked else path
            lines.append(f"{whole} {array.dtype} {list(shape)} {[int(word) for word in row]}")
    digest.update("\n".join(sorted(lines)).encode())
    return digest.hexdigest()[:DIGEST_LENGTH]


def tokenizer_digest(tokenizer: Tokenizer | None) -> str | None:
    """Of the text of every id. How texts become ids shows in the prompts, which are known by their ids."""
    if tokenizer is None:
        return None
    digest = hashlib.sha256()
    try:
        texts = decode_all(tokenizer, [[token] for token in range(tokenizer.vocab_size)])
    except InputError:  # it costs samples their text, and no more
        return f"{tokenizer.vocab_size} ids, not all of which it decodes"
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:DIGEST_LENGTH]


def _sum(array: jax.Array) -> np.ndarray:
    """uint32 [seeds]: the hash of one array."""
    return _sums(array[None])[0]


def _sums(array: jax.Array) -> np.ndarray:
    """uint32 [rows, seeds]: a hash of each row of axis 0, over all its elements and where they stand."""
    if array.nbytes <= _ON_HOST_BYTES and array.is_fully_addressable:
        bits = np.asarray(array)
        kind = np.dtype(f"u{bits.dtype.itemsize}")
        return _hash(np.ascontiguousarray(bits).view(kind), np)
    place = array.sharding
    everywhere = None
    if isinstance(place, NamedSharding):
        everywhere = NamedSharding(place.mesh, PartitionSpec())
    return np.asarray(_hash_on_devices(everywhere)(array))


@functools.cache
def _hash_on_devices(out: NamedSharding | None) -> Callable[[jax.Array], jax.Array]:
    """The compiled hash; where devices share an array each of them gets the whole sum."""

    def run(array: jax.Array) -> jax.Array:
        kind = jnp.dtype(f"uint{8 * array.dtype.itemsize}")
        return _hash(jax.lax.bitcast_convert_type(array, kind), jnp)

    return jax.jit(run, out_shardings=out)


def _hash(bits: Any, xp: Any) -> Any:
    """Each element mixed with its place and summed modulo 2³²: the order of summing changes nothing."""
    words = bits.astype(xp.uint32)
    place = functools.reduce(
        lambda found, axis: (
            found * xp.uint32(words.shape[axis])
            + xp.arange(words.shape[axis], dtype=xp.uint32).reshape(
                [-1 if axis == other else 1 for other in range(1, words.ndim)]
            )
        ),
        range(1, words.ndim),
        xp.zeros([1] * (words.ndim - 1), xp.uint32),
    )
    axes = tuple(range(1, words.ndim))
    sums = [
        _mix(_mix(words + xp.uint32(seed)) + place * xp.uint32(0x27D4EB2F)).sum(axis=axes, dtype=xp.uint32)
        for seed in _SEEDS
    ]
    return xp.stack(sums, axis=-1)


def _mix(words: Any) -> Any:
    """MurmurHash3's finaliser, a bijection of 32-bit words in which every bit decides every bit."""
    words = (words ^ (words >> 16)) * np.uint32(0x85EBCA6B)
    words = (words ^ (words >> 13)) * np.uint32(0xC2B2AE35)
    return words ^ (words >> 16)
