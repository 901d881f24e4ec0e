"""A checkpoint's own Jinja chat template, run in jinja2's sandbox: it is data from a stranger.

Templates may use what transformers gives them: ``raise_exception``, ``strftime_now``, ``tojson``.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from kinetics_jax.spec import InputError

Message = Mapping[str, Any]


class ChatTemplateError(InputError):
    """The template does not parse, refused the messages, or tried what the sandbox forbids."""


class ChatTemplate:
    """Messages → the prompt text that the model was trained on."""

    def __init__(self, source: str) -> None:
        """Compile ``source``. Raises ``ChatTemplateError`` where it is not valid Jinja."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ChatTemplateError(f"chat template: {error}") from error

    def render(
        self, messages: Sequence[Message], *, thinking: bool = True,
        add_generation_prompt: bool = True, variables: Mapping[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """The text of ``messages`` (role and content), ready for the assistant's turn.

        ``variables`` are further names it may print (``bos_token``). ``thinking=False`` asks
        Qwen3's template for an answer without a reasoning block. Raises ``ChatTemplateError``.
        """
        if not all(isinstance(m, Mapping) and isinstance(m.get("role"), str) for m in messages):
            raise ChatTemplateError("every message needs a 'role'")
        try:
            return self._template.render(
                messages=list(messages), add_generation_prompt=add_generation_prompt,
                enable_thinking=thinking, **(variables or {}),
            )  # fmt: skip
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError,
                ArithmeticError, IndexError, RecursionError) as error:  # fmt: skip
            raise ChatTemplateError(f"chat template: {error}") from error


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
