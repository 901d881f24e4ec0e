"""A stored sample as it would have ended at a shorter cap: cut, never decoded again (paper App. D.2)."""

import dataclasses
from collections.abc import Callable, Sequence

from kinetics_jax.records.sample import Sample


def cut(sample: Sample, length: int, decode: Callable[[Sequence[int]], str] | None) -> Sample:
    """``sample`` under a cap of ``length`` tokens.

    Exact: a token does not depend on the cap. The one exception are samples that the repetition rule
    stopped, whose last tokens it did not keep: at caps among those they count as stopped all the same.

    Args:
      sample: made with a cap of at least ``length``.
      length: in tokens, ≥ 1.
      decode: ids → text; None where texts do not matter.
    """
    if sample.generated_tokens < length:
        return dataclasses.replace(sample, max_tokens=length)
    tokens = sample.tokens[:length]
    return dataclasses.replace(
        sample,
        tokens=tokens,
        text=decode(tokens) if decode else None,
        finish_reason="length",
        logprobs=sample.logprobs and sample.logprobs[:length],
        max_tokens=length,
    )
