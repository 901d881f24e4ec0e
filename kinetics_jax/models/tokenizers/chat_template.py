"""A checkpoint's own Jinja chat template. It is untrusted code, so it runs in a process of its own.

Templates may use what transformers gives them: ``raise_exception``, ``strftime_now``, ``tojson``, the tag
``generation``, ``break`` and ``continue``; ``tools`` and ``documents`` are there and None.
"""

import datetime
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.models.tokenizers.process import TextProcess, TextProcessError

Message = Mapping[str, Any]
SWITCHES = ("enable_thinking", "thinking")
"""Names by which templates know whether the model is to reason first; the first that one reads counts."""
_REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names of a turn's reasoning; templates read the first, some the second."""


class ChatTemplateError(InputError):
    """The template does not parse, refused the messages, went beyond its limits or out of its sandbox."""


class ChatTemplate:
    """Messages → the prompt text that the model was trained on."""

    def __init__(
        self,
        source: str,
        *,
        where: str = "",
        process: TextProcess | None = None,
        today: datetime.date | None = None,
    ) -> None:
        """Compile ``source``. Raises ``ChatTemplateError`` where it is not valid Jinja.

        Args:
          source: the template.
          where: the file it is from, for errors.
          process: where it runs; None: a process that all such templates share.
          today: what templates that print the date take for it; None: the day at hand.
        """
        self.source, self._process = source, process or _shared()
        self._label = f"{where}: chat template" if where else "chat template"
        self._today = None if today is None else today.isoformat()
        self.reads = frozenset(self._ask("compile"))
        """Names that the template reads and does not set itself."""

    def render(
        self,
        messages: Sequence[Message],
        *,
        thinking: bool | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of ``messages`` (role and content), ready for the assistant's turn.

        Args:
          messages: turns; what is None in one is left out, as in transformers.
          thinking: whether the model shall reason before it answers. None says nothing, so that the
            template's own default counts. True is said where the template has a word for it.
          add_generation_prompt: whether the assistant's turn is opened.
          variables: further names that it may print (``bos_token``).

        Raises ``ChatTemplateError``, also for ``thinking=False`` where the template has no word for it.
        """
        check_messages(messages)
        known = {
            "messages": [_turn(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **(variables or {}),
            **self._switch(thinking),
        }
        return str(self._ask("render", variables=known, today=self._today))

    def _switch(self, thinking: bool | None) -> dict[str, bool]:
        name = next((name for name in SWITCHES if name in self.reads), None)
        if thinking is False and name is None:
            raise ChatTemplateError(
                f"{self._label}: reads neither {' nor '.join(SWITCHES)}, so thinking=False would change "
                "nothing; leave it out, or use a model whose reasoning can be switched off"
            )
        return {} if thinking is None or name is None else {name: thinking}

    def _ask(self, action: str, **request: Any) -> Any:
        try:
            return self._process.ask(action, source=self.source, **request)
        except TextProcessError as error:
            raise ChatTemplateError(f"{self._label}: {error}") from error
        except (TypeError, ValueError, RecursionError) as error:  # what JSON has no form for
            raise ChatTemplateError(f"a message or variable is not plain data ({error})") from error


def check_messages(messages: Sequence[Message]) -> None:
    """Raise ``ChatTemplateError`` where there is no message, or one that is nobody's."""
    if not messages:
        raise ChatTemplateError("a conversation needs at least one message")
    if not all(isinstance(m, Mapping) and isinstance(m.get("role"), str) for m in messages):
        raise ChatTemplateError("every message needs a 'role'")


def _turn(message: Message) -> dict[str, Any]:
    """A message as templates get it: nothing that is None, its reasoning under the names they look for."""
    turn = {key: value for key, value in message.items() if value is not None}
    reasoning = next((turn[name] for name in _REASONING if name in turn), None)
    if reasoning is not None:
        turn = {"thinking": reasoning, **turn, "reasoning_content": reasoning}
    return turn


@functools.cache
def _shared() -> TextProcess:
    return TextProcess()
