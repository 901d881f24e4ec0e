"""How commands end: which error is which line and which exit code, and what keeps its traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import app

from kinetics_jax.commands import main
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.values import plain, typed
from kinetics_jax.errors import InputError, KineticsError
from pallas_kernels.errors import ArgumentError

ROOT = Path(__file__).resolve().parents[2]


def disk_full(kind=InputError):
    """An error that was raised because a disk was full, as the logs raise it."""
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise kind("log: not written (No space left on device)") from None
    except kind as error:
        return error


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("k=0 must be positive"), 2, "k=0 must be positive"),
        (app.UsageError("bad\nflag"), 2, "bad flag"),
        (ArgumentError("op: bad shape"), 2, "op: bad shape"),
        (KineticsError("the gate stayed shut"), 1, "the gate stayed shut"),
        (disk_full(), 1, "not written"),
        (
            OSError(errno.ENOSPC, "No space left on device", "law.json"),
            1,
            "law.json: No space left on device; make room and run it again",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "x: Permission denied"),
        (MemoryError(), 1, "not enough memory"),
        (np._core._exceptions._ArrayMemoryError((1 << 60,), np.dtype("f8")), 1, "Unable to allocate"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes"), 1, "fewer --slots"),
        (
            RuntimeError("Unable to initialize backend 'tpu': none (set JAX_PLATFORMS='' to …)"),
            1,
            "Unable to initialize backend 'tpu': none",
        ),
        (ModuleNotFoundError("No module named 'flax'", name="flax"), 1, "pip install -U 'flax>="),
    ],
)
def test_causes_outside_the_library_are_a_line_and_a_code(error, code, says):
    line, status = main.describe(error)
    assert status == code
    assert says in line
    assert "\n" not in line


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), RuntimeError("x"), OSError("no errno")])
def test_a_fault_of_the_library_keeps_its_traceback(error):
    assert main.describe(error) is None

    def fail():
        raise error

    with pytest.raises(type(error)):
        main._guarded(fail, "law")


def test_interrupts_and_readers_that_left(capsys, monkeypatch):
    monkeypatch.setattr(main, "discard_output", lambda: None)
    for error, code in ((KeyboardInterrupt(), 130), (BrokenPipeError(), 141)):

        def fail(error=error):
            raise error

        assert main._guarded(fail, "law") == code
    assert capsys.readouterr().err == "law: interrupted\n"


PROGRAM = """
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
flags = Flags()
TIMES = flags.DEFINE_integer("times", 1, "How often.")
def main(_):
    for _ in range(TIMES.value):
        print("3 × 4 – \\udcff \\u2603")
Command(about="What it is for.", flags=flags, main=main)()
"""


def program(*argv, shell=None, **env):
    command = [sys.executable, "-c", PROGRAM, *argv]
    if shell:
        command = ["sh", "-c", shell, "sh", *command]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)} | env
    )


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", b"3 x 4 - \\udcff \\u2603\n"),
        ("latin-1", b"3 \xd7 4 - \\udcff \\u2603\n"),
        ("utf-8", "3 × 4 – \\udcff \u2603\n".encode()),
    ],
)
def test_every_terminal_takes_every_text(encoding, printed):
    done = program(PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, b"")


def test_a_reader_that_leaves_and_a_device_that_is_full():
    left = program("--times=100000", shell='"$@" | head -1')
    assert left.stderr == b""
    full = program(shell='"$@" > /dev/full')
    assert full.returncode == 1
    assert full.stderr.count(b"\n") == 1
    assert b"No space left on device" in full.stderr
    closed = program(shell='"$@" >&-')
    assert closed.returncode == 0


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["--times=x"], 2, b"times"),
        (["--tims=3"], 2, b"Unknown command line flag 'tims'"),
        (["more"], 2, b"unexpected argument 'more'"),
        (["--help"], 0, b""),
        (["-h"], 0, b""),
        (["--helpfull"], 0, b""),
    ],
)
def test_flags_are_one_line_and_help_is_no_error(argv, code, says):
    done = program(*argv)
    assert done.returncode == code
    assert says in done.stderr
    assert done.stderr.count(b"\n") == (code != 0)
    assert (b"--times" in done.stdout) == (code == 0)


def test_two_commands_and_one_loaded_anew_share_a_process():
    code = (
        "import importlib\n"
        "from kinetics_jax.cli import convert, decode, fidelity, fit_table, law, sweep, train\n"
        "importlib.reload(decode); importlib.reload(sweep)\n"
        "decode.flags.parse(['decode', '--model=x']); print(decode.flags['model'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.returncode) == ("x\n", 0), done.stderr


def test_a_flag_of_one_command_is_no_flag_of_another():
    first, second = Flags(), Flags()
    first.DEFINE_integer("n", 1, "A number.")
    second.DEFINE_string("n", "x", "A text.")
    assert first.parse(["p", "--n=3"]) == ["p"]
    second.parse(["p", "--n=three"])
    assert (first["n"], second["n"]) == (3, "three")


def test_options_are_plain_python():
    jnp = pytest.importorskip("jax.numpy")
    for value, expected in (
        (np.int64(4), 4),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(3), 3),
        (jnp.float32(0.5), 0.5),
        ([np.int32(1), "b"], (1, "b")),
        (np.array([1, 2]), (1, 2)),
        ((), ()),
        (None, None),
    ):
        assert plain(value) == expected
        assert type(plain(value)) is type(expected)
    assert typed("temperature", np.float64(1), 0.6, tuple) == 1.0
    assert type(typed("temperature", np.int8(1), 0.6, tuple)) is float
    for value, default in ((np.float64(1.5), 1), (True, 1), (1, True), ("1", 1), (3, ()), ((0.5,), ())):
        with pytest.raises(InputError, match="must be"):
            typed("x", value, default, tuple)


def test_files_of_ones_own_are_imported_first(tmp_path):
    (tmp_path / "mine.py").write_text("print('mine first')\n")
    done = program(f"--load={tmp_path / 'mine.py'}", PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout.split(b"\n")[0]) == (0, b"mine first"), done.stderr
    gone = program("--load=gone.py")
    assert (gone.returncode, gone.stderr.count(b"\n")) == (2, 1)
    assert b"there is no file gone.py" in gone.stderr
