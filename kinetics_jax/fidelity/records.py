"""What one policy costs on one passage, as one line of JSON."""

import dataclasses
import json
import math
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy, policy_from_stored, policy_to_stored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Means over the last ``span`` tokens of a context, each decoded with ``policy`` (nats per token)."""

    text: str
    """Which text the passage is from."""
    passage: int
    """Its number there."""
    context: int
    """Tokens up to and with the last one decoded."""
    span: int
    policy: Policy
    kl: float
    """KL(dense ‖ policy) of the next token's distribution."""
    loss: float
    """−log of the probability given to the token that comes next; perplexity is its exponential."""
    dense_loss: float
    """The same with dense attention."""
    agreement: float
    """Share of tokens whose most likely successor is the same as with dense attention."""
    kv_reads: float
    """Tokens of K and V read per KV head and step in the sparse layers."""

    def __post_init__(self) -> None:
        for field in ("kl", "loss", "dense_loss", "agreement", "kv_reads"):
            value = getattr(self, field)
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise InputError(f"{field}={value!r} must be a finite number")

    @property
    def key(self) -> tuple[str, int, int, Policy]:
        """Two records of a run with the same key are the same measurement."""
        return self.text, self.passage, self.context, self.policy

    def to_json(self) -> str:
        """One line."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return json.dumps(fields | {"policy": policy_to_stored(self.policy)})

    @classmethod
    def from_json(cls, line: str) -> "Fidelity":
        """The inverse of ``to_json``. Raises ``InputError`` where the line is cut or lacks a field."""
        try:
            fields: dict[str, Any] = json.loads(line)
            return cls(**fields | {"policy": policy_from_stored(fields["policy"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"not a fidelity record ({error}): {line[:80]!r}") from None
