"""How long a model may or must think before it answers, as options: no JAX, so that configs can name it."""

import dataclasses

from kinetics_jax.checks import MAX_INT32, check_token_ids, check_whole
from kinetics_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThinkingBudget:
    """Budget forcing (Muennighoff et al. 2025, "s1: simple test-time scaling", §3.1).

    A sample thinks until it produces ``end``. After ``max_tokens`` tokens without it, ``close`` is
    forced upon it. If it would produce ``end`` with fewer than ``min_tokens`` tokens thought, ``wait``
    is put in its place, up to ``max_waits`` times.
    """

    end: int
    """Id of the token that ends thinking, ``</think>``."""
    max_tokens: int | None = None
    """Tokens of thought after which ``close`` follows; None: no limit."""
    close: tuple[int, ...] = ()
    """Ids that are forced at the limit; ``end`` must be among them. Empty: ``end`` alone."""
    min_tokens: int = 0
    """Tokens of thought before which ``end`` is refused while waits are left."""
    wait: tuple[int, ...] = ()
    """Ids that are put in place of a refused ``end``, such as those of "Wait"."""
    max_waits: int = 0

    def __post_init__(self) -> None:
        for name in ("close", "wait"):
            object.__setattr__(self, name, check_token_ids(name, getattr(self, name)))
        for name in ("end", "max_tokens", "min_tokens", "max_waits"):
            if name != "max_tokens" or self.max_tokens is not None:
                object.__setattr__(self, name, check_whole(name, getattr(self, name), 0))
        if self.close and self.end not in self.close:
            raise InputError(f"close={self.close} must hold end={self.end}, or thinking never ends")
        if self.close and self.max_tokens is None:
            raise InputError(f"close={self.close} needs max_tokens, the limit at which it is forced")
        if self.end in self.wait:
            raise InputError(f"wait={self.wait} must not hold end={self.end}, which it replaces")
        given = {"min_tokens": self.min_tokens, "wait": self.wait, "max_waits": self.max_waits}
        if any(given.values()) and not all(given.values()):
            missing = ", ".join(name for name, value in given.items() if not value)
            raise InputError(f"min_tokens, wait and max_waits act together; {missing} not given")
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise InputError(f"min_tokens={self.min_tokens} must be at most max_tokens={self.max_tokens}")

    @property
    def closing(self) -> tuple[int, ...]:
        """The ids forced at the limit: ``close``, or ``end`` alone."""
        return self.close or (self.end,)

    @property
    def limit(self) -> int:
        """``max_tokens``, or a count that no sample reaches."""
        return MAX_INT32 if self.max_tokens is None else self.max_tokens
