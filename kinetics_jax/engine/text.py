"""Text of a sample while its tokens come: what is new, and whether a stop string is there. Host side.

Decoding all tokens again at each one would cost the square of their number. What a token adds depends on few
tokens before it, so only those are decoded again.
"""

import itertools
from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
DecodeAll = Callable[[Sequence[Sequence[int]]], list[str]]

BROKEN = "\ufffd"
"""What bytes that are no character, or the first bytes of one, decode to."""
_PATIENCE = 8
"""Tokens after which a text that goes on ending in ``BROKEN`` is looked at: a character has four bytes."""
_MOST = 32
"""Tokens of such a text that are decoded again at most."""


class Detokenizer:
    """The text of a growing list of tokens.

    Keeps a window: the tokens whose text was settled last, so that the next ones are decoded as what
    follows them (some tokenizers drop the first space of a text), and those whose text is open.
    """

    def __init__(self, decode: Decode, decode_all: DecodeAll | None = None) -> None:
        """``decode_all`` gives many texts in one go: what ``expect`` is for."""
        self._decode_one, self._decode_all = decode, decode_all
        self._expected: dict[tuple[int, ...], str] = {}
        self._window: list[int] = []
        self._settled = 0
        """Tokens of the window whose text is settled."""
        self._text = ""
        """Of the window."""
        self._given = 0
        """Characters of it that ``push`` has returned."""

    @property
    def open(self) -> str:
        """What follows the text returned so far and may change: ``BROKEN``, where anything does."""
        return self._text[self._given :]

    def expect(self, tokens: Sequence[int]) -> None:
        """``tokens`` will be pushed next: ask at once for the texts that this is most likely to take.

        It changes no result. A tokenizer in another process is asked once for a chunk, not twice a token.
        """
        if self._decode_all is not None:
            line = [*self._window[-1:], *tokens]
            likely = dict.fromkeys([*((token,) for token in line), *itertools.pairwise(line)])
            self._expected = dict(zip(likely, self._decode_all(list(likely)), strict=True))

    def _decode(self, tokens: Sequence[int]) -> str:
        text = self._expected.get(tuple(tokens))
        return self._decode_one(tokens) if text is None else text

    def push(self, token: int) -> str:
        """The text that becomes certain with ``token``: whole characters, so at times none."""
        window = [*self._window, token]
        text = self._decode(window)
        if text == self._text and not self._decode([token, token]):
            return ""  # a token that says nothing, such as an id the tokenizer does not have
        certain = len(text.rstrip(BROKEN))
        new = text[self._given : certain]
        self._window, self._text, self._given = window, text, max(self._given, certain)
        if certain == len(text):
            if new:
                self._keep(self._settled, settled=True)
        elif (len(window) - self._settled) % _PATIENCE == 0:
            new += self._split()
        return new

    def _keep(self, begin: int, *, settled: bool) -> None:
        """Shorten the window to what begins at ``begin``, its text settled and given, or all of it open."""
        self._window = self._window[begin:]
        self._settled = len(self._window) if settled else 0
        self._text = self._decode(self._window)
        self._given = len(self._text) if settled else 0

    def _split(self) -> str:
        """Settle a text of broken bytes up to where the rest reads the same without it."""
        text, given = self._text, self._given
        last = len(self._window) - 1
        for at in range(last, max(last - _PATIENCE, 0), -1):
            head, rest = self._decode(self._window[:at]), self._decode(self._window[at:])
            if rest and head + rest == text:
                self._keep(at, settled=False)
                self._given = max(given - len(head), 0)
                return text[given : len(head)]
        if len(self._window) < _MOST:
            return ""
        # Every rest depends on what broke first (a run of byte tokens, say), so that stays in sight.
        self._window = [self._window[self._settled], *self._window[1 - _PATIENCE :]]
        self._settled = 0
        self._text = self._decode(self._window)
        self._given = len(self._text) - 1  # the last character may still become whole
        return text[given:-1]


class StopStrings:
    """Looks for the first of some texts in a sample, token by token."""

    def __init__(self, strings: Sequence[str], decode: Decode, decode_all: DecodeAll | None = None) -> None:
        self._strings, self._decode = tuple(strings), decode
        self._detokenizer = Detokenizer(decode, decode_all)
        self._reach = max(map(len, self._strings)) - 1
        """Characters that a stop string may have in text that was there before."""
        self._before = ""
        self.tokens: list[int] = []

    def push(self, tokens: Sequence[int]) -> tuple[int, str] | None:
        """(tokens that complete the first stop string, text before it), or None: not there yet.

        A function of the tokens alone, not of how they are divided among calls.
        """
        self._detokenizer.expect(tokens)
        for token in tokens:
            self.tokens.append(token)
            text = self._before + self._detokenizer.push(token)
            self._before = text[-self._reach :] if self._reach else ""
            text += self._detokenizer.open
            if any(string in text for string in self._strings):
                whole = self._decode(self.tokens)
                found = [at for at in map(whole.find, self._strings) if at >= 0]
                if found:
                    return len(self.tokens), whole[: min(found)]
        return None
