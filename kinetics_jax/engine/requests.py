"""What callers may ask for, checked before anything is compiled, in the form that the schedule takes."""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kinetics_jax.checks import (
    check_flag,
    check_stop_strings,
    check_token_ids,
    check_whole,
    python_number,
    shown,
)
from kinetics_jax.engine.sampler import sample_keys
from kinetics_jax.errors import InputError
from kinetics_jax.models import Tokenizer
from kinetics_jax.records import Problem, SamplingParams, ThinkingBudget
from kinetics_jax.records.sample import SampleKey
from kinetics_jax.shapes import ModelConfig

_MOST_TRIALS = 1 << 20
"""Of one problem in one call."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoding:
    """How one problem's samples are drawn and ended."""

    sampling: SamplingParams = dataclasses.field(default_factory=SamplingParams)
    max_tokens: int | None = None
    """Most tokens to generate; None: what the engine's context leaves after the prompt."""
    stop_ids: tuple[int, ...] | None = None
    """Tokens that end a sample; None: those of ``default_stop_ids``. Empty: none."""
    stop_strings: tuple[str, ...] = ()
    """Texts that end a sample, looked for in the generated text; they need a tokenizer."""
    thinking_budget: ThinkingBudget | None = None
    """How long the model may or must think."""
    logprobs: bool = False
    """Whether samples carry the log-probability of each token."""

    def __post_init__(self) -> None:
        if self.sampling is None:
            object.__setattr__(self, "sampling", SamplingParams())
        for field, kind in (("sampling", SamplingParams), ("thinking_budget", ThinkingBudget)):
            value = getattr(self, field)
            if not isinstance(value, kind) and not (value is None and field == "thinking_budget"):
                raise InputError(f"{field}={shown(value)} must be a {kind.__name__}")
        settled: dict[str, Any] = {"stop_strings": check_stop_strings(self.stop_strings)}
        settled["logprobs"] = check_flag("logprobs", self.logprobs)
        if self.max_tokens is not None:
            settled["max_tokens"] = check_whole("max_tokens", self.max_tokens, 1)
        if self.stop_ids is not None:
            settled["stop_ids"] = _stop_ids(self.stop_ids)
        for field, value in settled.items():
            object.__setattr__(self, field, value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One problem and how many samples of it are wanted."""

    problem: Problem
    trials: tuple[int, ...]
    tokens: tuple[int, ...]
    """The prompt as token ids."""
    decoding: Decoding
    stop_ids: tuple[int, ...]
    max_tokens: int

    def keys(self) -> dict[int, np.ndarray]:
        """Trial → the key of its random stream, uint32 [2]."""
        name = f"{self.problem.task}/{self.problem.problem_id}"
        keys = sample_keys(self.decoding.sampling.seed, [name] * len(self.trials), self.trials)
        return dict(zip(self.trials, keys, strict=True))


Message = Mapping[str, Any]
Prompt = str | Sequence[int] | Sequence[Message] | Problem
"""What may stand for a problem: a text (one user turn), messages, token ids, or a ``records.Problem``."""


def default_stop_ids(config: ModelConfig, tokenizer: Tokenizer | None) -> tuple[int, ...]:
    """Where samples end unless told: at the model's end-of-text tokens, and at the tokenizer's own.

    Checkpoints differ in which of ``config.json``, ``generation_config.json`` and ``tokenizer_config.json``
    names the token that ends a turn. Warns where only the tokenizer names it.
    """
    named = [int(token) for token in getattr(tokenizer, "eos_token_ids", ())]
    drawable = [token for token in named if token < config.vocab_size]
    more = tuple(token for token in drawable if token not in config.eos_token_ids)
    for token in more:
        text = "" if tokenizer is None else f" {tokenizer.decode([token])!r}"
        warnings.warn(
            f"samples of {config.name} also end at token {token}{text}, which only the tokenizer calls the "
            f"end of a text; the model's own are {list(config.eos_token_ids)}; give stop_ids to choose",
            stacklevel=3,
        )
    return *config.eos_token_ids, *more


def prompt_tokens(tokenizer: Tokenizer, messages: Sequence[Message], thinking: bool | None) -> list[int]:
    """Ids of a conversation; a tokenizer is told of ``thinking`` only where somebody asked."""
    return tokenizer.chat(messages, **({} if thinking is None else {"thinking": thinking}))


class RequestReader:
    """Turns what callers give into checked ``Request``s."""

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: Tokenizer | None,
        max_context: int,
        *,
        stop_ids: tuple[int, ...],
        thinking: bool | None = None,
        system: str = "",
    ) -> None:
        self.config, self.tokenizer, self.max_context = config, tokenizer, max_context
        self.stop_ids, self.thinking, self.system = stop_ids, thinking, system

    def read(
        self,
        problems: Iterable[Prompt] | Prompt,
        n: int | Sequence[int],
        decoding: Decoding,
        done: Iterable[SampleKey],
    ) -> list[Request]:
        """A request per problem, without the trials that are ``done``.

        Raises ``InputError`` for the first that cannot be run: n < 1, a prompt that is empty, too long or
        holds ids outside the vocabulary, a text without a tokenizer, two problems of one name.
        """
        trials = _trials(n)
        if decoding.stop_strings and self.tokenizer is None:
            raise InputError("stop_strings need a tokenizer; give the engine one")
        self._check_ids("stop_ids", decoding.stop_ids or ())
        finished = _keys(done)
        found: dict[tuple[str, str], Request] = {}
        for number, given in enumerate(_several(problems)):
            problem = self._problem(given, number)
            name = (problem.task, problem.problem_id)
            if name in found:
                raise InputError(f"two problems are called {problem.task}/{problem.problem_id}")
            left = tuple(t for t in trials if (*name, t) not in finished)
            found[name] = self._request(problem, left, decoding)
        return list(found.values())

    def _problem(self, given: Prompt, number: int) -> Problem:
        if isinstance(given, Problem):
            return given
        prompt: Any = given
        if not isinstance(given, str):
            if not _is_several(given):
                raise InputError(
                    f"problem {number}: {shown(given)} is no prompt; give a text, messages, token ids or "
                    "a Problem"
                )
            prompt = tuple(given)
        return Problem(task="prompt", problem_id=str(number), prompt=prompt)

    def _request(self, problem: Problem, trials: tuple[int, ...], decoding: Decoding) -> Request:
        where = f"problem {problem.task}/{problem.problem_id}"
        tokens = self._tokens(problem, where)
        self._check_ids(where, tokens)
        left = self.max_context - len(tokens)
        if left < 1:
            raise InputError(
                f"{where}: its prompt of {len(tokens)} tokens leaves no room in the engine's context "
                f"of {self.max_context}; raise max_context"
            )
        if decoding.max_tokens is not None and decoding.max_tokens > left:
            raise InputError(
                f"{where}: {len(tokens)} prompt tokens and max_tokens={decoding.max_tokens} do not fit "
                f"the engine's context of {self.max_context}"
            )
        stops = self.stop_ids if decoding.stop_ids is None else decoding.stop_ids
        return Request(
            problem=problem,
            trials=trials,
            tokens=tokens,
            decoding=decoding,
            stop_ids=tuple(stops),
            max_tokens=decoding.max_tokens or left,
        )

    def _check_ids(self, where: str, tokens: Iterable[int]) -> None:
        vocabulary = self.config.vocab_size
        wrong = [token for token in tokens if not 0 <= token < vocabulary]
        if wrong:
            raise InputError(
                f"{where}: token id {wrong[0]} is outside 0…{vocabulary - 1} ({self.config.name}'s "
                "vocabulary)"
            )

    def _tokens(self, problem: Problem, where: str) -> tuple[int, ...]:
        if isinstance(problem.prompt, tuple) and not problem.has_turns and not self.system:
            return tuple(int(token) for token in problem.prompt)  # type: ignore[arg-type]
        messages = problem.turns(self.system)
        if self.tokenizer is None:
            raise InputError(f"{where}: its prompt is text; give the engine a tokenizer")
        try:
            tokens = tuple(prompt_tokens(self.tokenizer, messages, self.thinking))
        except InputError as error:
            error.args = (f"{where}: {error}", *error.args[1:])
            raise
        if not tokens:
            raise InputError(f"{where}: its prompt makes no tokens with this tokenizer")
        return tokens


def _is_several(values: Any) -> bool:
    """Whether ``values`` can be gone through and is no text, no bytes, no mapping and no single number."""
    apart = isinstance(values, str | bytes | bytearray | Mapping) or getattr(values, "ndim", 1) == 0
    return isinstance(values, Iterable) and not apart


def _several(problems: Iterable[Prompt] | Prompt) -> list[Any]:
    """The problems as a list, a single one too."""
    if isinstance(problems, str | Problem):
        return [problems]
    if not _is_several(problems):
        raise InputError(
            f"problems={shown(problems)} must be a text, messages, token ids, a Problem, or a list of those"
        )
    listed = list(problems)
    one = listed and (isinstance(listed[0], Mapping) or python_number(listed[0]) is not None)
    return [listed] if one else listed


def _trials(n: Any) -> tuple[int, ...]:
    count = python_number(n)
    if isinstance(count, int):
        if count < 1:
            raise InputError(f"n={shown(n)} must be at least 1 sample")
        return tuple(range(check_whole("n", count, 1, _MOST_TRIALS)))
    several = isinstance(n, Sequence) or getattr(n, "ndim", None) == 1
    listed = tuple(n) if several and not isinstance(n, str | bytes) else ()
    trials = tuple(check_whole("n: trial", trial, 0) for trial in listed)
    if not trials or len(set(trials)) < len(trials):
        raise InputError(f"n={shown(n)} must be a count of samples, or a list of different trial numbers")
    return trials


def _stop_ids(values: Any) -> tuple[int, ...]:
    """Token ids that end a sample; a single one may stand for itself."""
    return check_token_ids("stop_ids", (values,) if python_number(values) is not None else values)


def _keys(done: Iterable[SampleKey]) -> set[SampleKey]:
    keys = set()
    for key in done:
        if not isinstance(key, tuple) or len(key) != len(("task", "problem", "trial")):
            raise InputError(f"done: {shown(key)} must be a sample's key (task, problem id, trial)")
        keys.add(key)
    return keys
