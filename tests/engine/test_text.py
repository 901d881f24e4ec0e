"""Stop strings and streamed text, held to decoding everything again at every token."""

import itertools

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, pre_tokenizers
from tokenizers import models as parts

from kinetics_jax.engine.text import BROKEN, Detokenizer, StopStrings
from kinetics_jax.models import ByteTokenizer

WORDS = ["hello", "world", "naïve", "\u4f60\u597d", "\U0001f600", "ab", "aba", "\n\n", "."]


def slow_stop(tokens, strings, decode):
    """The meaning: the fewest tokens whose text holds a stop string, and the text before the first."""
    for count in range(1, len(tokens) + 1):
        text = decode(tokens[:count])
        found = [at for at in (text.find(string) for string in strings) if at >= 0]
        if found:
            return count, text[: min(found)]
    return None


def byte_level():
    """A byte-level BPE as GPT-2's and Qwen's: pieces that cut characters where they please."""
    rest = iter(range(256, 400))
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letter = [chr(byte if byte in plain else next(rest)) for byte in range(256)]
    assert sorted(letter) == sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter[byte]: byte for byte in range(256)}
    for data in [b"\x98\x80\xf0\x9f", *(w.encode() for w in [*WORDS, " hello", " world", "\u4f60"])]:
        for cut in (data, data[:2], data[1:], data[-2:]):
            vocab.setdefault("".join(letter[byte] for byte in cut), len(vocab))
    made = tokenizers.Tokenizer(parts.BPE(vocab, []))
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<|end|>", "</think>"])
    return made


def sentencepiece(*, fallback=True):
    """A vocabulary as Llama's: word pieces that carry their space, bytes where there is no piece."""
    vocab = {f"<0x{byte:02X}>": byte for byte in range(256)} if fallback else {}
    for piece in ["\u2581", *WORDS, *("\u2581" + word for word in WORDS), *"abcdefgh."]:
        vocab.setdefault(piece, len(vocab))
    made = tokenizers.Tokenizer(parts.BPE(vocab, [], byte_fallback=fallback))
    chain = [
        decoders.Replace("\u2581", " "),
        *([decoders.ByteFallback()] if fallback else []),
        decoders.Fuse(),
        decoders.Strip(" ", 1, 0),
    ]
    made.decoder = decoders.Sequence(chain)
    made.add_special_tokens(["</s>"])
    return made


def metaspace():
    made = sentencepiece(fallback=False)
    made.decoder = decoders.Metaspace()
    return made


def word_piece():
    vocab = {w: i for i, w in enumerate([*WORDS, *("##" + w for w in WORDS), "'", "t", "do", "n't"])}
    made = tokenizers.Tokenizer(parts.WordPiece(vocab, unk_token="."))
    made.decoder = decoders.WordPiece(cleanup=True)
    return made


def with_suffixes():
    vocab = {w: i for i, w in enumerate([*WORDS, *(w + "</w>" for w in WORDS)])}
    made = tokenizers.Tokenizer(parts.BPE(vocab, [], end_of_word_suffix="</w>"))
    made.decoder = decoders.BPEDecoder("</w>")
    return made


class Made:
    """A tokenizer of the library, with some ids at the end of its vocabulary that it does not have."""

    def __init__(self, made):
        self.size = made.get_vocab_size() + 3
        self._made = made

    def decode(self, tokens):
        return self._made.decode(list(tokens), skip_special_tokens=False)


class Bytes(ByteTokenizer):
    size = ByteTokenizer.vocab_size


TOKENIZERS = {
    "bytes": Bytes,
    "byte level": lambda: Made(byte_level()),
    "sentencepiece": lambda: Made(sentencepiece()),
    "sentencepiece without bytes": lambda: Made(sentencepiece(fallback=False)),
    "metaspace": lambda: Made(metaspace()),
    "word piece": lambda: Made(word_piece()),
    "suffixes": lambda: Made(with_suffixes()),
}


def texts_to_find(rng, tokenizer, tokens):
    """Pieces of what is there, of every length, overlapping ones, and texts that are not there."""
    text = tokenizer.decode(tokens).replace(BROKEN, "")
    for _ in range(rng.integers(1, 4)):
        at = rng.integers(0, max(len(text), 1))
        part = text[at : at + int(rng.choice([1, 2, 3, 7, 20, 60]))]
        yield part or "?"
        yield part[1:] + "x"
    if rng.random() < 0.3:
        yield from (" hello", "o w", "\u4f60\u597d", "</s>", "\n\n")


@pytest.mark.parametrize("name", TOKENIZERS)
def test_stop_strings_are_found_as_by_decoding_everything_again(name):
    tokenizer = TOKENIZERS[name]()
    rng = np.random.default_rng(len(name))
    found = 0
    for case in range(300):
        common = rng.integers(0, tokenizer.size, int(rng.choice([2, 5, 30])))  # so that texts repeat
        tokens = rng.choice(common, int(rng.integers(1, 120)))
        if case % 3 == 0 and name == "bytes":  # mostly text, some of it broken
            data = "".join(rng.choice(WORDS, 20)).encode()
            tokens = np.frombuffer(data, np.uint8).astype(int)
            tokens = np.where(rng.random(len(tokens)) < 0.05, 0xFF, tokens)
        tokens = tokens.tolist()
        strings = list(dict.fromkeys(texts_to_find(rng, tokenizer, tokens)))
        expected = slow_stop(tokens, strings, tokenizer.decode)
        search, got, at = StopStrings(strings, tokenizer.decode), None, 0
        while got is None and at < len(tokens):
            step = int(rng.integers(1, 40))
            got = search.push(tokens[at : at + step])
            at += step
        assert got == expected, (tokens, strings)
        found += expected is not None
    assert found > 50


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_chunk_is_one_exchange_with_a_tokenizer_that_is_far_away(name):
    tokenizer = TOKENIZERS[name]()
    rng = np.random.default_rng(11)
    alone = []

    def decode(tokens):
        alone.append(tokens)
        return tokenizer.decode(tokens)

    def decode_all(lists):
        return [tokenizer.decode(tokens) for tokens in lists]

    for _ in range(50):
        tokens = rng.integers(0, tokenizer.size, 120).tolist()
        strings = list(dict.fromkeys(texts_to_find(rng, tokenizer, tokens)))
        search, got, at = StopStrings(strings, decode, decode_all), None, 0
        while got is None and at < len(tokens):
            got, at = search.push(tokens[at : at + 40]), at + 40
        assert got == slow_stop(tokens, strings, tokenizer.decode)

    words = [token for token in range(tokenizer.size) if BROKEN not in tokenizer.decode([token])]
    words = [token for token in words if tokenizer.decode([token, token])] * 5
    alone.clear()
    assert StopStrings(["never there"], decode, decode_all).push(words[:500]) is None
    assert len(alone) <= 25, "what decodes to whole characters was asked for ahead"


@pytest.mark.parametrize("name", ["bytes", "byte level"])
def test_broken_bytes_may_be_looked_for_too(name):
    tokenizer = TOKENIZERS[name]()
    rng = np.random.default_rng(5)
    for _ in range(200):
        tokens = rng.choice(rng.integers(0, tokenizer.size, 6), 60).tolist()
        text = tokenizer.decode(tokens)
        at = rng.integers(0, len(text))
        strings = [text[at : at + 4], BROKEN * 5]
        expected = slow_stop(tokens, strings, tokenizer.decode)
        assert StopStrings(strings, tokenizer.decode).push(tokens) == expected


@pytest.mark.parametrize("name", TOKENIZERS)
def test_pieces_add_up_to_the_text(name):
    tokenizer = TOKENIZERS[name]()
    rng = np.random.default_rng(7)
    for _ in range(200):
        tokens = rng.integers(0, tokenizer.size, 50).tolist()
        stream, shown = Detokenizer(tokenizer.decode), ""
        for count, token in enumerate(tokens, 1):
            shown += stream.push(token)
            text = tokenizer.decode(tokens[:count])
            if not (name == "sentencepiece" and BROKEN in text):  # a run of bytes breaks as a whole
                assert shown + stream.open == text
                assert text.startswith(shown)
                assert set(stream.open) <= {BROKEN}


ENDLESS = {
    "text": ("bytes", list(b"It was a dark and stormy night. ")),
    "characters of four bytes": ("bytes", list("\U0001f600".encode())),
    "bytes that are no text": ("bytes", [0xFF]),
    "first bytes of characters": ("bytes", [0xE4]),
    "last bytes of characters": ("bytes", [0x80, 0x80]),
    "ids that the tokenizer lacks": ("byte level", [10_000]),
    "words": ("sentencepiece", list(range(260, 280))),
    "a run of broken bytes": ("sentencepiece", [0xFF]),
    "a broken byte, then letters as bytes": ("sentencepiece", [0xFF, *b"aaa#" * 300]),
    "tokens that cut characters": ("byte level", [256]),
    "nothing but spaces": ("metaspace", [0]),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_the_work_grows_with_the_tokens_and_not_with_their_square(name):
    kind, loop = ENDLESS[name]
    tokenizer = TOKENIZERS[kind]()
    decoded = 0

    def decode(tokens):
        nonlocal decoded
        decoded += len(tokens)
        return tokenizer.decode(tokens)

    work = []
    for count in (1000, 4000):
        tokens = list(itertools.islice(itertools.cycle(loop), count))
        for machine in (StopStrings(["never there", "a\t", "aaa#"], decode).push, Detokenizer(decode)):
            decoded = 0
            if isinstance(machine, Detokenizer):
                for token in tokens:
                    machine.push(token)
            else:
                assert machine(tokens) is None
            work.append(decoded)
    short, long = work[:2], work[2:]
    assert all(b <= 4.5 * a for a, b in zip(short, long, strict=True))
    assert max(long) <= 100 * 4000
