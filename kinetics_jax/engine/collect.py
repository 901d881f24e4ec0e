"""Tokens as they come from the device, put together into samples on the host.

Axis letters: B slots · T tokens of a chunk, one a step.
"""

import collections
import dataclasses
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from kinetics_jax.engine.programs import Drawn
from kinetics_jax.engine.state import FINISH_REASON, REPETITION, STOP
from kinetics_jax.engine.text import Detokenizer, StopStrings
from kinetics_jax.errors import InputError
from kinetics_jax.models import Tokenizer
from kinetics_jax.records import RepetitionRule


@dataclasses.dataclass(frozen=True)
class Piece:
    """A token of a streamed sample."""

    token: int
    text: str
    """Text that became certain with it: whole characters only, so at times none."""
    logprob: float


@dataclasses.dataclass
class _Running:
    """A sample in a slot."""

    begun: int
    """Number of its first chunk."""
    stop: StopStrings | None
    text: Detokenizer | None
    """For streaming."""
    searched: int = 0
    """Chunks that stop strings were looked for in."""
    streamed: int = 0
    """Chunks that were streamed."""


class Collector:
    """Keeps the chunks since the oldest running sample began; a sample is a column of them."""

    def __init__(self, slots: int, tokenizer: Tokenizer | None) -> None:
        self.total = 0
        """Tokens collected."""
        self._tokenizer = tokenizer
        self._chunks: collections.deque[Drawn] = collections.deque()
        self._first = 0
        """Number of the oldest chunk kept."""
        self._running: dict[int, _Running] = {}
        """By slot."""

    def begin(self, slot: int, stop_strings: Sequence[str] = ()) -> None:
        """A sample begins in ``slot`` with the next chunk."""
        decode = self._tokenizer.decode if self._tokenizer else None
        decode_all = getattr(self._tokenizer, "decode_all", None)
        self._running[slot] = _Running(
            begun=self._first + len(self._chunks),
            stop=StopStrings(stop_strings, decode, decode_all) if decode and stop_strings else None,
            text=Detokenizer(decode, decode_all) if decode else None,
        )

    def add(self, drawn: Drawn) -> None:
        """Keep a chunk."""
        self._chunks.append(drawn)
        self.total += int((drawn.token_tb >= 0).sum())

    def _column(self, slot: int, since: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and log-probabilities of the running sample, of its chunks from ``since`` on."""
        begin = self._running[slot].begun - self._first + since
        chunks = [self._chunks[number] for number in range(begin, len(self._chunks))]
        tokens = np.concatenate([chunk.token_tb[:, slot] for chunk in chunks])
        logprobs = np.concatenate([chunk.logprob_tb[:, slot] for chunk in chunks])
        return tokens[tokens >= 0], logprobs[tokens >= 0]

    def _chunks_of(self, slot: int) -> int:
        return self._first + len(self._chunks) - self._running[slot].begun

    def stop_string(self, slot: int) -> tuple[int, str] | None:
        """(tokens that complete the first stop string, text before it), or None: not there yet."""
        sample = self._running[slot]
        if sample.stop is None:
            return None
        tokens, _ = self._column(slot, sample.searched)
        sample.searched = self._chunks_of(slot)
        return sample.stop.push(tokens.tolist())

    def pieces(self, slot: int) -> Iterator[Piece]:
        """What the sample in ``slot`` has drawn since last asked."""
        sample = self._running[slot]
        tokens, logprobs = self._column(slot, sample.streamed)
        sample.streamed = self._chunks_of(slot)
        if sample.text is not None:
            sample.text.expect(tokens.tolist())
        for token, logprob in zip(tokens.tolist(), logprobs.tolist(), strict=True):
            yield Piece(token, sample.text.push(token) if sample.text else "", logprob)

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
        del self._running[slot]
        self._forget()
        return tuple(tokens.tolist()), tuple(logprobs.tolist()), text, reason

    def drop(self, slot: int) -> None:
        """Forget the sample in ``slot``: nobody wants it any more."""
        del self._running[slot]
        self._forget()

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
        begun = (sample.begun for sample in self._running.values())
        needed = min(begun, default=self._first + len(self._chunks))
        while self._first < needed and self._chunks:
            self._chunks.popleft()
            self._first += 1
