"""Programs around their run: extraction, comparison, stored tests, and the system-call filter."""

import base64
import json
import os
import pickle
import re
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetics_jax.errors import InputError
from kinetics_jax.tasks.programs import seccomp
from kinetics_jax.tasks.programs.compare import same_output, same_value
from kinetics_jax.tasks.programs.extract import last_program
from kinetics_jax.tasks.programs.stored_tests import Case, StoredTests

CASES = [{"input": "1\n", "output": "2\n", "testtype": "stdin"}]


PROGRAM = "n = int(input())\nprint(3 * n)"


def block(label="python", program=PROGRAM, fence="```", indent=""):
    return "\n".join(indent + line for line in (fence + label, *program.split("\n"), fence))


CUT = block().rpartition("\n")[0]
EXTRACTED = {
    "one block": (block(), PROGRAM),
    "a draft without a label": (block("", "print(1)") + "\nbetter:\n" + block(), PROGRAM),
    "a draft": (block(program="print(1)") + "\n" + block(), PROGRAM),
    "a summary in words": (block() + "\n" + block("plaintext", "Time: O(1)"), PROGRAM),
    "an example without a label": (block() + "\n" + block("", "6"), PROGRAM),
    "a shell command": (block() + "\nRun it:\n" + block("bash", "python solution.py"), PROGRAM),
    "another language": (block() + "\n" + block("c++", "int main() {}"), PROGRAM),
    "a session": (block() + "\n" + block("pycon", ">>> 3 * 2\n6"), PROGRAM),
    "no labels, output last": (block("") + "\nOutput:\n" + block("", "6"), PROGRAM),
    "an unknown label": (block("solution"), PROGRAM),
    "capitals": (block("Python"), PROGRAM),
    "py": (block("py"), PROGRAM),
    "a version": (block("python3.11"), PROGRAM),
    "a space before the label": (block(" python"), PROGRAM),
    "a file name": (block("python:answer.py"), PROGRAM),
    "attributes": (block('python title="a b" {1,2}'), PROGRAM),
    "pandoc": (block("{.python}"), PROGRAM),
    "indented": (block(indent="      "), PROGRAM),
    "tabs": (block(indent="\t"), PROGRAM),
    "in a list": ("1. Read\n2. " + block(indent="   ").lstrip(), PROGRAM),
    "in a list, tildes": ("* " + block(fence="~~~", indent="  ").lstrip(), PROGRAM),
    "quoted": (block(indent="> ") + "\nas said", PROGRAM),
    "quoted twice, open": (block(indent=">> ").rpartition("\n")[0] + "\n\nnot code", PROGRAM),
    "tildes": (block(fence="~~~"), PROGRAM),
    "four backticks": (block(fence="````"), PROGRAM),
    "fences in a docstring": (
        block(program='"""\n```\n1\n```\n"""\nprint(2)', fence="````"),
        '"""\n```\n1\n```\n"""\nprint(2)',
    ),
    "within Markdown": (block("markdown", "# Title\n" + block(), fence="````"), PROGRAM),
    "a fence in a text": (block(program="print('```')"), "print('```')"),
    "indented as a whole": (block(program="  x = 1\n\n  print(x)"), "x = 1\n\nprint(x)"),
    "spaces in a text stay": (block(program='x = """a\n   \nb"""'), 'x = """a\n   \nb"""'),
    "words before the fence": ("My code: " + block(), PROGRAM),
    "words after the end": (block() + " That is all.", PROGRAM),
    "a tag after the end": (block() + "</answer>", PROGRAM),
    "no line of its own for the end": (CUT + "```", PROGRAM),
    "left open, then another": (block(program="print(1)")[:-3] + block(), PROGRAM),
    "code in a line": ("Say ```input()``` or\n" + block(""), PROGRAM),
    "cut": (CUT, PROGRAM),
    "a draft, then cut": (block(program="print(1)") + "\n" + CUT, PROGRAM),
    "Windows": (block().replace("\n", "\r\n"), PROGRAM),
    "old Macs": (block().replace("\n", "\r"), PROGRAM),
    "only another language": (block("cpp", "int main() {}"), "int main() {}"),
    "no block": ("print(1)", None),
    "an empty block": ("```\n```", ""),
    "nothing": ("", None),
}


@pytest.mark.parametrize("name", EXTRACTED)
def test_last_program(name):
    text, program = EXTRACTED[name]
    assert last_program(text) == program


@given(st.text(alphabet="`~>- \n\rpython1", max_size=80))
def test_extraction_never_fails(text):
    last_program(text)
    assert last_program(text + "\n" + block()) is not None


@pytest.mark.parametrize(
    "text", ["```\n" * 60_000, "````md\n" * 40_000, "> " * 99_999 + "```", "~~~\n````\n" * 30_000]
)
def test_extraction_is_linear(text):
    began = time.monotonic()
    last_program(text)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("2\n", "2", True),
        ("1 2 3\n4\n", "1 2 3 \n 4\n\n", True),
        ("2.50", "2.5", True),
        ("1e3 2", "1000 2", True),
        ("YES", "YES\n", True),
        ("YES", "Yes", False),
        ("1 2", "1  2", True),
        ("a b", "a  b", False),
        ("2", "3", False),
        ("1\n2", "1", False),
        ("1\n2", "1 2", False),
        ("0.1", "0.10000001", False),
        ("50000000000000000", "50000000000000001", False),
        ("", "", True),
        ("1", "", False),
        ("NaN", "nan", False),
    ],
)
def test_same_output(expected, printed, same):
    assert same_output(expected, printed) == same


@pytest.mark.parametrize(
    ("expected", "returned", "same"),
    [
        ("[1, 2]", "[1,2]", True),
        ("2", "2.0", True),
        ("true", "true", True),
        ('"a"', '"b"', False),
        ("[1]", "1", False),
        ("1", "", False),
        ("1", "[" * 100_000, False),
        ("7" * 9_000, "7" * 9_000, True),
        ("7" * 9_000, "7" * 8_999 + "8", False),
        ("[10000000000000000000001]", "[10000000000000000000000]", False),
        ("9007199254740993", "9007199254740992.0", False),
    ],
)
def test_same_value(expected, returned, same):
    assert same_value(expected, returned) == same


def packed(value):
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def test_cases_plain_and_packed():
    plain = StoredTests(public=json.dumps(CASES), private=json.dumps(CASES * 2))
    stored = StoredTests(public=json.dumps(CASES), private=packed(json.dumps(CASES * 2)))
    assert plain.cases() == stored.cases() == (Case(input="1\n", output="2\n"),) * 3


@given(st.text(max_size=300), st.integers(0, 5))
def test_any_packed_text_is_read_as_pickle_reads_it(text, protocol):
    cases = json.dumps([{"input": text, "output": text}], ensure_ascii=False)
    raw = pickle.dumps(cases, protocol=protocol)
    private = base64.b64encode(zlib.compress(raw)).decode()
    if protocol == 0:  # written as an escaped line of ASCII, which nobody stores tests in
        with pytest.raises(InputError, match="UNICODE"):
            StoredTests(public="[]", private=private).cases()
    else:
        assert StoredTests(public="[]", private=private).cases() == (Case(input=text, output=text),)


class Evil:
    def __reduce__(self):
        return os.system, (f"touch {Evil.mark}",)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path):
    Evil.mark = tmp_path / "mark"
    with pytest.raises(InputError, match="a pickle can run code"):
        StoredTests(public="[]", private=packed(Evil())).cases()
    with pytest.raises(InputError, match="a pickle can run code"):
        StoredTests(public="[]", private=packed([json.dumps(CASES)])).cases()
    assert not Evil.mark.exists()


def test_a_bomb_is_not_unpacked(monkeypatch):
    from kinetics_jax.tasks.programs import stored_tests

    monkeypatch.setattr(stored_tests, "MAX_DECODED_BYTES", 10_000)
    with pytest.raises(InputError, match="longer than 10000 bytes"):
        StoredTests(public="[]", private=packed("0" * 1_000_000)).cases()


@pytest.mark.parametrize("stored", ["", "!!!", "aGVsbG8=", "{}", "[1]", '[{"input": "1"}]', "[" * 99_999])
def test_tests_that_cannot_be_read(stored):
    with pytest.raises(InputError) as caught:
        StoredTests(public="[]", private=stored).cases()
    assert "\n" not in str(caught.value)


def interpret(program, machine, number, flags=0):
    """What the filter answers, by the rules of classic BPF."""
    data = struct.pack("<IIQQ", number, machine, 0, flags)
    code = list(struct.iter_unpack("<HBBI", program))
    at, loaded = 0, 0
    while True:
        kind, yes, no, operand = code[at]
        at += 1
        if kind == 0x06:
            return operand
        if kind == 0x20:
            (loaded,) = struct.unpack_from("<I", data, operand)
        else:
            test = {0x15: loaded == operand, 0x35: loaded >= operand, 0x45: bool(loaded & operand)}
            at += yes if test[kind] else no


def names_of(machine):
    header = {
        "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        "aarch64": Path("/usr/include/asm-generic/unistd.h"),
    }[machine]
    if not header.is_file():
        pytest.skip(f"no {header} (linux-libc-dev) to check the numbers against")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    return {name: int(number) for name, number in found}


REFUSED = 0x00050001
ALLOWED = 0x7FFF0000


@pytest.mark.parametrize(("machine", "audit"), [("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)])
def test_the_filter_refuses_what_its_names_say(machine, audit):
    numbers = names_of(machine)
    program = seccomp.program(machine)
    refused = {name for name, n in numbers.items() if interpret(program, audit, n) == REFUSED}
    known = {name for name, pair in seccomp._REFUSED.items() if name in numbers and any(pair)}
    absent = {"fork", "vfork"} if machine == "aarch64" else set()
    assert refused == (known - absent) | {"clone"}
    assert len(known) > 45
    for name in ("read", "write", "execve", "futex", "mmap", "openat", "exit_group", "getrandom"):
        assert interpret(program, audit, numbers[name]) == ALLOWED
    thread, process = 0x3D0F00, 0x1200011
    assert interpret(program, audit, numbers["clone"], thread) == ALLOWED
    assert interpret(program, audit, numbers["clone"], process) == REFUSED
    assert interpret(program, audit, numbers["clone3"]) == 0x00050026  # ENOSYS
    assert interpret(program, 0x40000003, 11) == 0x80000000  # i386
    assert interpret(program, audit, 0x40000039) == 0x80000000  # x32


def test_the_filter_fits_the_kernels_limits():
    for machine in seccomp.machines():
        assert len(seccomp.program(machine)) // 8 < 4096
    with pytest.raises(KeyError):
        seccomp.program("riscv64")
