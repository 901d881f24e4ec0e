"""One question put to a model: what a task hands out, the engine decodes and a grader judges."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kinetics_jax.checks import MAX_INT32, is_text, python_number, shown
from kinetics_jax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """A question with its known answer. ``(task, problem_id)`` names it in every record."""

    task: str
    """Benchmark, such as ``aime24``."""
    problem_id: str
    prompt: str | tuple[int, ...] | tuple[Mapping[str, Any], ...]
    """Text: one user turn. Tuple of messages (``role``, ``content``): several turns. To both, whoever
    tokenises applies the chat template. Tuple of ids: decoded from as they stand."""
    answer: Any = None
    """What the task's grader compares with; None where the tests are elsewhere."""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Everything else that the source says (level, url, tests …)."""

    def __post_init__(self) -> None:
        for field in ("task", "problem_id"):
            value = getattr(self, field)
            if not isinstance(value, str) or not value or not is_text(value):
                raise InputError(f"problem {field}={shown(value)} must be a text that is not empty")
        where = f"problem {self.task}/{self.problem_id}"
        if self.has_turns:
            _check_turns(self.prompt, where)
        elif isinstance(self.prompt, tuple):
            object.__setattr__(self, "prompt", _token_ids(self.prompt, where))
        elif not isinstance(self.prompt, str):
            kind = type(self.prompt).__name__
            raise InputError(f"{where}: prompt is a {kind}; give a text, or a tuple of messages or token ids")
        elif not is_text(self.prompt):
            raise InputError(f"{where}: the prompt holds half of a character (a lone surrogate)")
        if not (self.prompt.strip() if isinstance(self.prompt, str) else self.prompt):
            raise InputError(f"{where}: the prompt is empty")
        if not isinstance(self.extra, Mapping):
            raise InputError(f"{where}: extra={self.extra!r} must be a mapping")

    @property
    def has_turns(self) -> bool:
        """Whether the prompt is a tuple of messages."""
        return isinstance(self.prompt, tuple) and any(isinstance(m, Mapping) for m in self.prompt)

    def turns(self, system: str = "") -> tuple[Mapping[str, Any], ...]:
        """The prompt as messages, a system turn before them where ``system`` is not empty.

        Raises ``InputError`` for token ids, which have no turns, and for a second system turn.
        """
        where = f"problem {self.task}/{self.problem_id}"
        if isinstance(self.prompt, str):
            found: tuple[Any, ...] = ({"role": "user", "content": self.prompt},)
        elif self.has_turns:
            found = self.prompt
        else:
            what = "take no system prompt" if system else "have no turns"
            raise InputError(f"{where}: its prompt is token ids, which {what}")
        if not system:
            return found
        if found[0]["role"] == "system":
            raise InputError(f"{where}: its prompt has a system turn already; give none beside it")
        return ({"role": "system", "content": system}, *found)


def _token_ids(given: tuple[Any, ...], where: str) -> tuple[int, ...]:
    ids = []
    for token in given:
        number = python_number(token)
        if not isinstance(number, int) or not 0 <= number <= MAX_INT32:
            raise InputError(f"{where}: prompt holds {shown(token)}; token ids are ints ≥ 0")
        ids.append(number)
    return tuple(ids)


def _check_turns(messages: Any, where: str) -> None:
    for number, message in enumerate(messages, 1):
        role = message.get("role") if isinstance(message, Mapping) else None
        if not isinstance(role, str) or "content" not in message:
            raise InputError(f"{where}: message {number} needs a 'role' and a 'content'")
