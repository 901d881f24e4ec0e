"""One finished sample as one line of JSON: what the engine writes and the accounting half reads.

A record is whole or absent: a line that is cut, or lacks a field, is an error that says so.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, Policy, policy_from_stored, policy_to_stored
from kinetics_jax.records.deployment import check_deployment
from kinetics_jax.records.stored import (
    FINISH_REASONS,
    MAX_COUNT,
    check_count,
    check_finish_reason,
    check_seed,
    check_temperature,
    check_text,
    name_of_problem,
    read_object,
    write_object,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleRecord:
    """A finished sample. Two records with the same ``key`` are the same sample."""

    run: str
    """Which sweep or source it came from."""
    model: str
    """Model name; a key of ``shapes.presets``, or any with ``shape``."""
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
    answer: str | None = None
    """What the grader read as the answer, in a form in which equal answers are equal texts; empty where it
    found none, None where that was not recorded."""
    shape: Mapping[str, Any] | None = None
    """The model's shape as data (``ModelConfig.to_dict``), where its name is no preset's."""
    deployment: Mapping[str, Any] | None = dataclasses.field(default=None, compare=False)
    """What it ran on (``records.RecordedDeployment``); None where not recorded."""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Everything else (text, reason, log-probs …), kept as it came."""

    def __post_init__(self) -> None:
        for field in ("trial", "prompt_tokens", "generated_tokens"):
            check_count(field, getattr(self, field), 0)
        if self.max_tokens is not None:
            check_count("max_tokens", self.max_tokens, 1)
        for field in ("run", "model", "task", "problem_id"):
            check_text(field, getattr(self, field))
        check_temperature(self.temperature)
        check_seed(self.seed)
        if not isinstance(self.correct, bool):
            raise InputError(f"correct={self.correct!r} must be true or false")
        check_finish_reason(self.finish_reason)
        if self.answer is not None and not isinstance(self.answer, str):
            raise InputError(
                f"answer={self.answer!r} must be a text, empty where none was found, or left out"
            )
        if not isinstance(self.shape or {}, Mapping):
            raise InputError(f"shape={self.shape!r} must be an object, or left out")
        check_deployment(self.deployment)

    @property
    def key(self) -> tuple[str, str, Policy, str, str, int | None, int]:
        """What makes it this sample and no other."""
        cap = self.max_tokens
        return (self.run, self.model, self.policy, self.task, self.problem_id, cap, self.trial)

    def to_json(self) -> str:
        """One line of JSON without the newline; unknown (None) fields are left out."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        extra = fields.pop("extra")
        fields["policy"] = policy_to_stored(self.policy)
        known = {name: value for name, value in fields.items() if value is not None}
        return write_object({**extra, **known}, "sample record")

    @classmethod
    def from_json(cls, line: str) -> "SampleRecord":
        """The record in one line of JSON.

        Raises:
          InputError: not JSON, not an object, a field missing, there twice, or of a wrong type or value.
        """
        return cls.from_dict(read_object(line, "sample record"))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "SampleRecord":
        """The record with these fields; those it does not know go to ``extra``.

        An optional field that is null is as one left out, and so is an empty policy, as in a CSV; but a
        null ``answer`` was looked for and not found, as earlier versions wrote it, and one that is no text
        is taken as its JSON. The policy may be a text (``"dense"``); one that is not known here is kept as
        data.
        """
        known = {f.name: f for f in dataclasses.fields(cls) if f.name != "extra"}
        required = [
            name
            for name, f in known.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        missing = [name for name in required if name not in fields]
        if missing:
            raise InputError(f"sample record lacks {', '.join(missing)}")
        values = {
            name: value
            for name, value in fields.items()
            if name in required or (name in known and value is not None)
        }
        if values.get("policy") == "":
            del values["policy"]
        if "policy" in values:
            values["policy"] = policy_from_stored(values["policy"])
        if "answer" in fields:
            values["answer"] = _answer(fields["answer"])
        values["problem_id"] = name_of_problem(values["problem_id"])
        extra = {name: value for name, value in fields.items() if name not in known}
        return cls(**values, extra=extra)


def _answer(stored: Any) -> str:
    if stored is None:
        return ""
    return stored if isinstance(stored, str) else json.dumps(stored, sort_keys=True, separators=(",", ":"))


__all__ = ["FINISH_REASONS", "MAX_COUNT", "SampleRecord"]
