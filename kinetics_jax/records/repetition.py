"""When a sample is taken to be caught in a loop, as options: no JAX, so that configs can name it."""

import dataclasses

from kinetics_jax.checks import check_whole
from kinetics_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepetitionRule:
    """The reference's rule (docs/paper_facts.md, "Repetition rule"), its published settings as defaults.

    Let g be the generated tokens, the newest not counted. Once prompt and g are longer than ``window``,
    stop if the last ``block`` tokens of g occur at ``threshold`` or more places, overlapping ones each
    counted, in the ``window`` tokens before them; the last ``block`` tokens of g are then cut off.
    With the defaults only loops of a period of at most 68 tokens are found.
    """

    window: int = 1024
    block: int = 64
    threshold: int | None = None
    """None is the reference's max(window // block − 1, 2)."""

    def __post_init__(self) -> None:
        for field in ("window", "block"):
            object.__setattr__(self, field, check_whole(field, getattr(self, field), 1))
        if self.window < self.block:
            raise InputError(
                f"window={self.window!r} must be at least block={self.block!r}: "
                "the block is looked for in the window"
            )
        if self.threshold is not None:
            object.__setattr__(self, "threshold", check_whole("threshold", self.threshold, 1))

    @property
    def matches(self) -> int:
        """How many places stop a sample: the threshold, with None resolved."""
        if self.threshold is not None:
            return self.threshold
        return max(self.window // self.block - 1, 2)

    def kept_tokens(self, generated: int) -> int:
        """Tokens that stay of those ``generated`` (the newest counted) when the rule has stopped them."""
        return generated - 1 - self.block
