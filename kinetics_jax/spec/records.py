"""One finished sample as one line of JSON: what the engine writes and the accounting half reads.

A record is whole or absent: a line that is cut, or lacks a field, is an error that says so.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from kinetics_jax.spec.errors import InputError
from kinetics_jax.spec.policies import Dense, Policy, policy_from_dict, policy_to_dict

MAX_COUNT = 1 << 40
"""No count of tokens or trials is larger; a number beyond it is a broken file."""
FINISH_REASONS = ("stop", "length", "repetition", "error")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleRecord:
    """A finished sample. Two records with the same ``key`` are the same sample."""

    run: str
    """Which sweep or source it came from."""
    model: str
    """Model name; a key of ``spec.presets`` where its shape is known."""
    policy: Policy = dataclasses.field(default_factory=Dense)
    task: str
    """Benchmark, such as ``aime24``."""
    problem_id: str
    trial: int
    """Index of the sample among those of one problem and setting."""
    prompt_tokens: int
    generated_tokens: int
    """Tokens generated, the end-of-text token not counted."""
    correct: bool
    finish_reason: str = "stop"
    """One of ``FINISH_REASONS``."""
    seed: int = 0
    max_tokens: int | None = None
    """Generation cap; None where unknown."""
    temperature: float | None = None
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Everything else (text, answer, log-probs …), kept as it came."""

    def __post_init__(self) -> None:
        for field, least in (("trial", 0), ("prompt_tokens", 0), ("generated_tokens", 0)):
            _check_count(field, getattr(self, field), least)
        if self.max_tokens is not None:
            _check_count("max_tokens", self.max_tokens, 1)
        for field in ("run", "model", "task", "problem_id"):
            if not isinstance(getattr(self, field), str) or not getattr(self, field):
                raise InputError(
                    f"{field}={getattr(self, field)!r} must be a text that is not empty"
                )
        heat = self.temperature
        known = isinstance(heat, int | float) and not isinstance(heat, bool)
        if heat is not None and not (known and 0 <= heat < math.inf):
            raise InputError(f"temperature={heat!r} must be a finite number ≥ 0, or left out")
        if not isinstance(self.correct, bool):
            raise InputError(f"correct={self.correct!r} must be true or false")
        if self.finish_reason not in FINISH_REASONS:
            raise InputError(
                f"finish_reason={self.finish_reason!r} must be one of {', '.join(FINISH_REASONS)}"
            )

    @property
    def key(self) -> tuple[str, str, Policy, str, str, int | None, int]:
        """What makes it this sample and no other."""
        cap = self.max_tokens
        return (self.run, self.model, self.policy, self.task, self.problem_id, cap, self.trial)

    def to_json(self) -> str:
        """One line of JSON without the newline; unknown (None) fields are left out."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        extra = fields.pop("extra")
        fields["policy"] = policy_to_dict(self.policy)
        known = {name: value for name, value in fields.items() if value is not None}
        return json.dumps({**extra, **known}, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> "SampleRecord":
        """The record in one line of JSON.

        Raises:
          InputError: not JSON, not an object, a field missing or of a wrong type or value.
        """
        try:
            fields = json.loads(line)
        except RecursionError:
            raise InputError("JSON nested too deeply for a sample record") from None
        except json.JSONDecodeError as error:
            raise InputError(
                f"not a whole JSON record ({error.msg} at column {error.colno})"
            ) from None
        if not isinstance(fields, dict):
            raise InputError("a sample record is a JSON object, one a line")
        return cls.from_dict(fields)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "SampleRecord":
        """The record with these fields; those it does not know go to ``extra``."""
        known = {f.name: f for f in dataclasses.fields(cls) if f.name != "extra"}
        required = [
            name
            for name, f in known.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        missing = [name for name in required if name not in fields]
        if missing:
            raise InputError(f"sample record lacks {', '.join(missing)}")
        values = {name: value for name, value in fields.items() if name in known}
        if "policy" in values:
            if not isinstance(values["policy"], Mapping):
                raise InputError(f"policy={values['policy']!r} must be an object with a name")
            values["policy"] = policy_from_dict(values["policy"])
        if isinstance(values["problem_id"], int):
            values["problem_id"] = str(values["problem_id"])
        extra = {name: value for name, value in fields.items() if name not in known}
        return cls(**values, extra=extra)


def _check_count(name: str, value: object, least: int) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= MAX_COUNT:  # type: ignore[operator]
        raise InputError(f"{name}={value!r} must be a whole number ≥ {least}")
