"""One question put to a model: what a task hands out, the engine decodes and a grader judges."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kinetics_jax.spec.checks import MAX_INT32, is_text, python_number, shown
from kinetics_jax.spec.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """A question with its known answer. ``(task, problem_id)`` names it in every record."""

    task: str
    """Benchmark, such as ``aime24``."""
    problem_id: str
    prompt: str | tuple[int, ...]
    """Text: one user turn, to which whoever tokenises applies the chat template. Tuple: token ids
    that are decoded from as they stand."""
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
        if isinstance(self.prompt, tuple):
            ids = tuple(python_number(token) for token in self.prompt)
            for given, number in zip(self.prompt, ids, strict=True):
                if not isinstance(number, int) or not 0 <= number <= MAX_INT32:
                    raise InputError(
                        f"{where}: prompt holds {shown(given)}; token ids are ints ≥ 0"
                    )
            object.__setattr__(self, "prompt", ids)
        elif not isinstance(self.prompt, str):
            kind = type(self.prompt).__name__
            raise InputError(f"{where}: prompt is a {kind}; give a text or a tuple of token ids")
        elif not is_text(self.prompt):
            raise InputError(f"{where}: the prompt holds half of a character (a lone surrogate)")
        if not (self.prompt.strip() if isinstance(self.prompt, str) else self.prompt):
            raise InputError(f"{where}: the prompt is empty")
        if not isinstance(self.extra, Mapping):
            raise InputError(f"{where}: extra={self.extra!r} must be a mapping")
