"""A finished sample before anybody graded it: what the engine yields and writes, one JSON object a line."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, Policy, policy_from_stored, policy_to_stored
from kinetics_jax.records.deployment import check_deployment
from kinetics_jax.records.sample_record import SampleRecord
from kinetics_jax.records.stored import (
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
from kinetics_jax.shapes import presets

SampleKey = tuple[str, str, int]
"""(task, problem id, trial)."""
_OPTIONAL = ("text", "logprobs", "policy", "seed", "temperature", "max_tokens", "provenance", "deployment")


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
    provenance: Mapping[str, Any] | None = dataclasses.field(default=None, hash=False)
    """What else decided its tokens, as JSON has it (``records.provenance``); None where not recorded."""
    deployment: Mapping[str, Any] | None = dataclasses.field(default=None, compare=False)
    """What it ran on (``records.RecordedDeployment``), which decides no token; None where not recorded."""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    """Fields that another version or tool wrote, kept as they came."""

    def __post_init__(self) -> None:
        for name in ("task", "problem_id", "model"):
            check_text(name, getattr(self, name))
        check_count("trial", self.trial, 0)
        check_count("prompt_tokens", self.prompt_tokens, 0)
        check_finish_reason(self.finish_reason)
        check_seed(self.seed)
        check_temperature(self.temperature)
        if self.max_tokens is not None:
            check_count("max_tokens", self.max_tokens, 1)
        if self.text is not None and not isinstance(self.text, str):
            raise InputError(f"text={self.text!r} must be a text, or left out")
        if not isinstance(self.policy, Policy):
            raise InputError(f"policy={self.policy!r} must be a policy")
        for name in ("provenance", "extra"):
            if not isinstance(getattr(self, name) or {}, Mapping):
                raise InputError(f"{name}={getattr(self, name)!r} must be an object")
        check_deployment(self.deployment)
        _check_tokens(self.tokens)
        _check_logprobs(self.logprobs, len(self.tokens))

    @property
    def key(self) -> SampleKey:
        """What makes it this sample and no other of its run."""
        return self.task, self.problem_id, self.trial

    @property
    def generated_tokens(self) -> int:
        """How many tokens were generated."""
        return len(self.tokens)

    def graded(self, run: str, correct: bool, *, answer: str | None = None, **extra: Any) -> SampleRecord:
        """The record that the accounting half reads. ``extra`` (reason …) is kept with it.

        ``answer`` as ``SampleRecord.answer``: empty where the grader found none.

        A model that is no preset takes its shape along, so that it can be priced.
        """
        shape = None if self.model in presets else (self.provenance or {}).get("shape")
        return SampleRecord(
            run=run,
            model=self.model,
            policy=self.policy,
            task=self.task,
            problem_id=self.problem_id,
            trial=self.trial,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            correct=correct,
            finish_reason=self.finish_reason,
            seed=self.seed,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            answer=answer,
            shape=shape,
            deployment=self.deployment,
            extra=extra,
        )

    def to_json(self) -> str:
        """One line of JSON without the newline; what is unknown (None) is left out."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        extra = fields.pop("extra")
        fields["policy"] = policy_to_stored(self.policy)
        if self.logprobs is not None:
            fields["logprobs"] = [round(p, 5) if math.isfinite(p) else None for p in self.logprobs]
        known = {name: value for name, value in fields.items() if value is not None}
        return write_object(known | {k: v for k, v in extra.items() if k not in known}, "sample")

    @classmethod
    def from_json(cls, line: str) -> "Sample":
        """The sample in one line of JSON, checked field by field as a ``SampleRecord`` is.

        Raises ``InputError`` where it is not a whole one. Fields it does not know go to ``extra``, and a
        policy that is not known here is kept as data.
        """
        fields = read_object(line, "sample", strict=True)
        known = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        required = known - set(_OPTIONAL)
        if missing := [f.name for f in dataclasses.fields(cls) if f.name in required - set(fields)]:
            raise InputError(f"sample lacks {', '.join(missing)}")
        values = {
            name: value
            for name, value in fields.items()
            if name in required or (name in known and value is not None)
        }
        if not isinstance(values["tokens"], list):
            raise InputError("tokens must be a list of token ids")
        values["tokens"] = tuple(values["tokens"])
        values["problem_id"] = name_of_problem(values["problem_id"])
        if "policy" in values:
            values["policy"] = policy_from_stored(values["policy"])
        if "logprobs" in values:
            if not isinstance(values["logprobs"], list):
                raise InputError("logprobs must be a list of numbers, or left out")
            if -math.inf in values["logprobs"]:  # a number too large; ours would be null
                raise InputError("logprobs holds a number that is not finite")
            values["logprobs"] = tuple(math.nan if p is None else p for p in values["logprobs"])
        extra = {name: value for name, value in fields.items() if name not in known}
        return cls(**values, extra=extra)


def _check_tokens(tokens: object) -> None:
    if not isinstance(tokens, tuple | list):
        raise InputError(f"tokens is a {type(tokens).__name__}; give a tuple of token ids")
    if not set(map(type, tokens)) <= {int} or (tokens and min(tokens) < 0):
        wrong = next(t for t in tokens if type(t) is not int or t < 0)
        raise InputError(f"tokens holds {wrong!r}; token ids are whole numbers ≥ 0")
    if tokens and max(tokens) > MAX_COUNT:
        raise InputError(f"tokens holds a token id larger than {MAX_COUNT}")


def _check_logprobs(logprobs: object, count: int) -> None:
    """None, or a number a token; one that is not finite is written as null."""
    if logprobs is None:
        return
    if not isinstance(logprobs, tuple | list) or not set(map(type, logprobs)) <= {int, float}:
        raise InputError("logprobs must be a number for each token, or left out")
    if len(logprobs) != count:
        raise InputError(f"{len(logprobs)} logprobs for {count} tokens: one each is needed")
    if any(p > 1 for p in logprobs):  # a little above 0 is rounding
        raise InputError(f"logprobs holds {max(logprobs)!r}: no probability is so large")
