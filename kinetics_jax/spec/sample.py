"""A finished sample before anybody graded it: what the engine yields and writes, one JSON object a line."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from kinetics_jax.spec.errors import InputError
from kinetics_jax.spec.policies import Dense, Policy, policy_from_dict, policy_to_dict
from kinetics_jax.spec.records import FINISH_REASONS, SampleRecord

SampleKey = tuple[str, str, int]
"""(task, problem id, trial)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One answer of a model. ``key`` names it within one run of one model under one policy."""

    task: str
    problem_id: str
    trial: int
    prompt_tokens: int
    tokens: tuple[int, ...]
    """Generated ids, the token or text that ended the sample left out."""
    text: str | None = None
    """What the tokens say, where a tokenizer was at hand."""
    finish_reason: str
    """``stop``, ``length``, ``repetition`` or ``error`` (the model gave no finite logits)."""
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each token under the model's unfiltered distribution, where asked for."""
    model: str
    policy: Policy = dataclasses.field(default_factory=Dense)
    seed: int = 0
    temperature: float | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.finish_reason not in FINISH_REASONS:
            known = ", ".join(FINISH_REASONS)
            raise InputError(f"finish_reason={self.finish_reason!r} must be one of {known}")

    @property
    def key(self) -> SampleKey:
        """What makes it this sample and no other of its run."""
        return self.task, self.problem_id, self.trial

    @property
    def generated_tokens(self) -> int:
        """How many tokens were generated."""
        return len(self.tokens)

    def graded(self, run: str, correct: bool, **extra: Any) -> SampleRecord:
        """The record that the accounting half reads. ``extra`` (answer, reason …) is kept with it."""
        return SampleRecord(
            run=run, model=self.model, policy=self.policy, task=self.task,
            problem_id=self.problem_id, trial=self.trial, prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens, correct=correct,
            finish_reason=self.finish_reason, seed=self.seed, max_tokens=self.max_tokens,
            temperature=self.temperature, extra=extra,
        )  # fmt: skip

    def to_json(self) -> str:
        """One line of JSON without the newline; what is unknown (None) is left out."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields["policy"] = policy_to_dict(self.policy)
        if self.logprobs is not None:
            fields["logprobs"] = [round(p, 5) if math.isfinite(p) else None for p in self.logprobs]
        known = {name: value for name, value in fields.items() if value is not None}
        return json.dumps(known, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> "Sample":
        """The sample in one line of JSON. Raises ``InputError`` where it is not a whole one."""
        try:
            fields = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"not a whole JSON sample ({error})") from None
        if not isinstance(fields, Mapping):
            raise InputError("a sample is a JSON object, one a line")
        known = {f.name: f for f in dataclasses.fields(cls)}
        required = [
            n for n, f in known.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]  # fmt: skip
        missing = [name for name in required if name not in fields]
        unknown = [name for name in fields if name not in known]
        if missing or unknown:
            what = f"lacks {', '.join(missing)}" if missing else f"has unknown {', '.join(unknown)}"
            raise InputError(f"sample {what}")
        values = dict(fields)
        values["tokens"] = tuple(values["tokens"])
        if "policy" in values:
            values["policy"] = policy_from_dict(values["policy"])
        if "logprobs" in values:
            values["logprobs"] = tuple(math.nan if p is None else p for p in values["logprobs"])
        return cls(**values)
