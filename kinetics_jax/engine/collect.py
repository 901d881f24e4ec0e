"""Tokens as they come from the device, put together into samples on the host.

Axis letters: B slots · t steps of a chunk.
"""

import collections
import dataclasses
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from kinetics_jax.engine.programs import Drawn
from kinetics_jax.engine.state import FINISH_REASON, REPETITION, STOP
from kinetics_jax.models import Tokenizer
from kinetics_jax.spec import InputError, RepetitionRule


@dataclasses.dataclass(frozen=True)
class Piece:
    """A token of a streamed sample."""

    token: int
    text: str
    """Text that became certain with it: whole characters only, so at times none."""
    logprob: float


class Collector:
    """Keeps the chunks since the oldest running sample began; a sample is a column of them."""

    def __init__(self, slots: int, tokenizer: Tokenizer | None) -> None:
        self.total = 0
        """Tokens collected."""
        self._tokenizer = tokenizer
        self._chunks: collections.deque[Drawn] = collections.deque()
        self._first = 0
        """Number of the oldest chunk kept."""
        self._begun: dict[int, int] = {}
        """Slot → number of its sample's first chunk."""
        self._sent: dict[int, tuple[int, str]] = {}
        """Slot → tokens and text already streamed."""

    def begin(self, slot: int) -> None:
        """A sample begins in ``slot`` with the next chunk."""
        self._begun[slot] = self._first + len(self._chunks)
        self._sent[slot] = (0, "")

    def add(self, drawn: Drawn) -> None:
        """Keep a chunk."""
        self._chunks.append(drawn)
        self.total += int((drawn.token_tb >= 0).sum())

    def _column(self, slot: int, since: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and log-probabilities of the running sample, of its chunks from ``since`` on."""
        chunks = list(self._chunks)[self._begun[slot] - self._first + since :]
        tokens = np.concatenate([chunk.token_tb[:, slot] for chunk in chunks])
        logprobs = np.concatenate([chunk.logprob_tb[:, slot] for chunk in chunks])
        return tokens[tokens >= 0], logprobs[tokens >= 0]

    def stop_string(self, slot: int, strings: Sequence[str]) -> tuple[int, str] | None:
        """(tokens that complete the first stop string, text before it), or None: not there yet.

        A function of the tokens alone, not of how they were cut into chunks.
        """
        if not strings or self._tokenizer is None:
            return None
        tokens = self._column(slot)[0].tolist()
        whole = self._tokenizer.decode(tokens)
        if not any(string in whole for string in strings):
            return None
        for count in range(1, len(tokens) + 1):
            text = self._tokenizer.decode(tokens[:count])
            found = [at for at in (text.find(string) for string in strings) if at >= 0]
            if found:
                return count, text[: min(found)]
        return None

    def pieces(self, slot: int) -> Iterator[Piece]:
        """What the sample in ``slot`` has drawn since last asked."""
        tokens, logprobs = self._column(slot)
        sent, shown = self._sent[slot]
        for count in range(sent + 1, len(tokens) + 1):
            text = self._tokenizer.decode(tokens[:count].tolist()) if self._tokenizer else ""
            text = text.removesuffix("\ufffd")  # the rest of a character may follow
            new = text[len(shown) :]
            shown = text
            yield Piece(int(tokens[count - 1]), new, float(logprobs[count - 1]))
        self._sent[slot] = (len(tokens), shown)

    def finish(
        self, slot: int, code: int, rule: RepetitionRule | None, cut: tuple[int, str] | None
    ) -> tuple[tuple[int, ...], tuple[float, ...], str | None, str]:
        """(tokens, log-probabilities, text, finish reason) of a sample that is over."""
        tokens, logprobs = self._column(slot)
        reason = FINISH_REASON.get(code, "stop")
        text = None
        if cut is not None:
            (count, text), reason = cut, "stop"
            tokens, logprobs = tokens[:count], logprobs[:count]
        elif code == STOP:
            tokens, logprobs = tokens[:-1], logprobs[:-1]
        elif code == REPETITION and rule is not None:
            kept = rule.kept_tokens(len(tokens))
            tokens, logprobs = tokens[:kept], logprobs[:kept]
        if text is None and self._tokenizer is not None:
            text = self._text(tokens.tolist())
        del self._begun[slot]
        self._forget()
        return tuple(tokens.tolist()), tuple(logprobs.tolist()), text, reason

    def _text(self, tokens: list[int]) -> str | None:
        """What a finished sample says; a tokenizer that fails costs the text, not the sample."""
        assert self._tokenizer is not None
        try:
            return self._tokenizer.decode(tokens)
        except InputError as error:
            warnings.warn(f"a sample is kept without its text ({error})", stacklevel=2)
            return None

    def _forget(self) -> None:
        """Drop chunks that no running sample needs."""
        needed = min(self._begun.values(), default=self._first + len(self._chunks))
        while self._first < needed and self._chunks:
            self._chunks.popleft()
            self._first += 1
