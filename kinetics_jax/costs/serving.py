"""How a model is served: number formats, chips per copy, and the batch that really fits in HBM.

Sparse attention cuts what is read, not what is stored, so the batch is set by full contexts for every
policy alike (docs/paper_facts.md, "Gaps").
"""

import dataclasses

import numpy as np

from kinetics_jax.checks import check_flag, python_number, shown
from kinetics_jax.chips.chip import Chip
from kinetics_jax.chips.dtypes import bytes_per_element, canonical
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import ModelConfig

MAX_AUTO_CHIPS = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serving:
    """The deployment that ``exact`` costs assume. Every field changes a number; none is decoration."""

    weight_dtype: str = "bfloat16"
    kv_dtype: str = "bfloat16"
    compute_dtype: str = "bfloat16"
    """Operand format of the matmuls; eFLOPs and seconds are counted against its peak."""
    tensor_parallel: int | None = None
    """Chips per copy of the model; None is the fewest that leave half of HBM to the KV cache."""
    batch: float | None = None
    """Sequences decoded together; None is what fits (``feasible_batch``)."""
    occupancy: float = 1.0
    """Share of the sequences that fit that are decoded together, where ``batch`` is None; never under one."""
    page_size: int | None = None
    """Tokens in a page: a sequence takes whole pages. None takes what it has tokens."""
    share_prefix: bool = True
    """N samples of a prompt read its KV once, dense and sparse alike."""
    prefill: bool = True
    """Charge the prompt's own forward pass, once for all samples."""
    oracle_search: bool = False
    """Charge oracle top-k for reading every key (the paper calls it free)."""
    hbm_fraction: float = 0.9
    """Share of HBM that weights and KV may take."""

    def __post_init__(self) -> None:
        for field in ("weight_dtype", "kv_dtype", "compute_dtype"):
            object.__setattr__(self, field, canonical(getattr(self, field)))
        for field in ("share_prefix", "prefill", "oracle_search"):
            object.__setattr__(self, field, check_flag(field, getattr(self, field)))
        for field in ("hbm_fraction", "occupancy"):
            fraction = python_number(getattr(self, field))
            if fraction is None or not 0 < fraction <= 1:
                raise InputError(f"{field}={shown(getattr(self, field))} must be a number in (0, 1]")
            object.__setattr__(self, field, fraction)
        if self.batch is not None:
            batch = python_number(self.batch)
            if batch is None or not 1 <= batch < np.inf:
                raise InputError(f"batch={shown(self.batch)} must be one number, at least 1 sequence")
            object.__setattr__(self, "batch", batch)
        for field, unit in (("tensor_parallel", "chips"), ("page_size", "tokens")):
            if getattr(self, field) is not None:
                count = python_number(getattr(self, field))
                if count is None or not 1 <= count < np.inf or count != int(count):
                    given = shown(getattr(self, field))
                    raise InputError(f"{field}={given} must be a whole number of {unit}, at least 1")
                object.__setattr__(self, field, count)

    @property
    def weight_bytes(self) -> float:
        """Bytes of one weight."""
        return bytes_per_element(self.weight_dtype)

    @property
    def kv_bytes(self) -> float:
        """Bytes of one element of K or V."""
        return bytes_per_element(self.kv_dtype)


def kv_copies(model: ModelConfig, num_chips: int) -> float:
    """How often each KV head is stored: 1, or chips ÷ K where there are more chips than heads."""
    return max(1.0, num_chips / model.num_kv_heads)


def feasible_batch(
    model: ModelConfig,
    chip: Chip,
    context: np.ndarray | float,
    *,
    num_chips: int = 1,
    serving: Serving | None = None,
) -> np.ndarray:
    """Sequences of ``context`` tokens whose KV fits beside the weights, rounded down.

    ⌊(fraction · chips · HBM − weights) / (KV bytes a token · context)⌋; 0 where not one fits. Every
    sequence is charged its own full context, in whole pages where ``page_size`` is given: no credit for
    shared prompts or half-grown samples.
    """
    serving = serving or Serving()
    if serving.page_size:
        context = np.ceil(np.asarray(context) / serving.page_size) * serving.page_size
    free = serving.hbm_fraction * num_chips * chip.hbm_bytes
    free -= model.total_params * serving.weight_bytes
    each = model.kv_bytes_per_token(serving.kv_bytes) * kv_copies(model, num_chips)
    return np.floor(np.maximum(free, 0) / (each * np.maximum(context, 1)))


def chips_per_copy(model: ModelConfig, chip: Chip, longest_context: float, serving: Serving) -> int:
    """The user's ``tensor_parallel``, or the smallest power of two that leaves half of HBM to KV.

    It must also hold one sequence of ``longest_context`` tokens and stay in one scale-up domain.

    Raises:
      InputError: nothing fits; says what is needed and what there is.
    """
    if serving.tensor_parallel is not None:
        if serving.tensor_parallel > chip.scale_up_world:
            raise InputError(
                f"tensor_parallel={serving.tensor_parallel}: {chip.name} links at most "
                f"{chip.scale_up_world} chips in one scale-up domain"
            )
        return serving.tensor_parallel
    limit = min(MAX_AUTO_CHIPS, chip.scale_up_world)
    weights = model.total_params * serving.weight_bytes
    num_chips = 1
    while num_chips <= limit:
        half = 0.5 * serving.hbm_fraction * num_chips * chip.hbm_bytes
        batch = feasible_batch(model, chip, longest_context, num_chips=num_chips, serving=serving)
        if weights <= half and batch >= 1:
            return num_chips
        num_chips *= 2
    raise InputError(
        f"{model.name} with a context of {longest_context:,.0f} tokens does not fit on {limit} × "
        f"{chip.name}: {weights / 2**30:.1f} GiB of weights, {chip.hbm_bytes / 2**30:.1f} GiB a chip; "
        "use a larger chip, int8 weights or KV, or set tensor_parallel and batch yourself"
    )


def decode_batch(
    model: ModelConfig, chip: Chip, context: np.ndarray, num_chips: int, serving: Serving
) -> np.ndarray:
    """The user's batch, or the feasible one; InputError where not one sequence fits."""
    if serving.batch is not None:
        return np.asarray(serving.batch, float)
    batch = feasible_batch(model, chip, context, num_chips=num_chips, serving=serving)
    if np.any(batch < 1):
        worst = float(np.max(context))
        raise InputError(
            f"{model.name} on {num_chips} × {chip.name}: no room for one sequence of {worst:,.0f} "
            "tokens beside the weights; raise tensor_parallel or give a batch"
        )
    return batch if serving.occupancy == 1 else np.maximum(np.floor(batch * serving.occupancy), 1)
