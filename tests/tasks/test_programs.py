"""Programs around their run: extraction, comparison, stored tests, and the system-call filter."""

import base64
import json
import os
import pickle
import re
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinetics_jax.spec import InputError
from kinetics_jax.tasks.programs import seccomp
from kinetics_jax.tasks.programs.compare import same_output, same_value
from kinetics_jax.tasks.programs.extract import last_program
from kinetics_jax.tasks.programs.stored_tests import Case, StoredTests

CASES = [{"input": "1\n", "output": "2\n", "testtype": "stdin"}]


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nprint(1)\n```", "print(1)"),
        (
            "first\n```\na = 1\n```\nbetter:\n```python\na = 2\nprint(a)\n```\ndone",
            "a = 2\nprint(a)",
        ),
        ("```python\nprint(1)\n", None),
        ("print(1)", None),
        ("```\n```", ""),
        ("", None),
    ],
)
def test_last_program(text, program):
    assert last_program(text) == program


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


@pytest.mark.parametrize(
    "stored", ["", "!!!", "aGVsbG8=", "{}", "[1]", '[{"input": "1"}]', "[" * 99_999]
)
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
