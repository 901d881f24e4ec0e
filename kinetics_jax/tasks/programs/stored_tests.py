"""The tests of one programming problem, decoded when they are needed; nothing is ever unpickled."""

import base64
import binascii
import dataclasses
import json
import pickletools
import zlib

from kinetics_jax.errors import InputError

MAX_DECODED_BYTES = 1 << 30
"""No packed list of tests may be longer than this when unpacked."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One test: what goes in, what must come out."""

    input: str
    """Standard input; for a function its arguments, one JSON value a line."""
    output: str
    """Expected standard output; for a function the JSON value it must return."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredTests:
    """Tests as LiveCodeBench stores them: a JSON list each, the private one perhaps packed."""

    public: str
    private: str = "[]"
    function: str | None = None
    """Name of the function to call; None where the program reads standard input."""

    def cases(self) -> tuple[Case, ...]:
        """Public tests, then private ones. Raises InputError where they cannot be read safely."""
        private = self.private if self.private.lstrip().startswith("[") else _unpack(self.private)
        return (*_cases(self.public), *_cases(private))


def _cases(text: str) -> list[Case]:
    try:
        found = [Case(input=row["input"], output=row["output"]) for row in json.loads(text)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError("tests are not a JSON list of objects with input and output") from None
    if not all(isinstance(case.input, str) and isinstance(case.output, str) for case in found):
        raise InputError("tests: input and output must be texts")
    return found


# A pickled text and nothing else: no opcode that builds an object, imports or calls.
_TEXT_OPCODES = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_EMPTY_OPCODES = {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "STOP"}


def _unpack(packed: str) -> str:
    """The text in base64(zlib(pickle(text))), read with ``pickletools``, which runs nothing."""
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(packed, validate=True), MAX_DECODED_BYTES)
        if not unpacker.eof:
            raise InputError(f"packed tests are cut or longer than {MAX_DECODED_BYTES} bytes")
        texts: list[str] = []
        for opcode, argument, _ in pickletools.genops(raw):
            if opcode.name in _TEXT_OPCODES:
                texts.append(str(argument))
            elif opcode.name not in _EMPTY_OPCODES:
                raise InputError(
                    f"packed tests are a pickle with {opcode.name}, not a plain text; it is not "
                    "loaded, since a pickle can run code. Give the tests as JSON"
                )
    except (binascii.Error, zlib.error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"packed tests cannot be read ({error}); give them as JSON") from None
    if len(texts) != 1:
        raise InputError(f"packed tests hold {len(texts)} texts instead of one")
    return texts[0]
