"""The sandbox against programs that try to get out, hang, or eat the machine."""

import contextlib
import dataclasses
import os
import shutil
import sys
import sysconfig
import textwrap
import time
from pathlib import Path

import pytest

from kinetics_jax.tasks.programs import command_line
from kinetics_jax.tasks.programs import sandbox as module
from kinetics_jax.tasks.programs.sandbox import Limits, Sandbox, SandboxError, unavailable

LIMITS = Limits(seconds=10.0, memory_bytes=512 << 20, output_bytes=1 << 20, scratch_bytes=4 << 20)
SECONDS = 1.0
SHORT = Limits(seconds=SECONDS, clock_seconds=2 * SECONDS)


@pytest.fixture(params=["as this user", "in a user namespace"])
def confined(request, monkeypatch):
    """Both ways in: root starts without a user namespace, everyone else with one."""
    if unavailable():
        pytest.skip(f"no sandbox here: {unavailable()}")
    if request.param == "in a user namespace":
        if os.geteuid() != 0:
            pytest.skip("this user is in a user namespace anyway")
        monkeypatch.setattr(command_line.os, "geteuid", lambda: 1000)
        with Sandbox().program("print(1)") as folder:
            outcome = Sandbox().run(folder, "")
        if outcome.status:
            pytest.skip(f"no user namespaces here: {outcome.message}")
    return request.param


def run(source, stdin="", function=None, limits=LIMITS, **options):
    box = Sandbox(limits, **options)
    with box.program(textwrap.dedent(source)) as folder:
        return box.run(folder, stdin, function)


def test_a_program_reads_and_prints(confined):
    assert run("print(int(input()) + 1)", "41\n").output == "42\n"
    assert run("import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))", "1 2 3").output == "6\n"
    assert run("print(Counter(input())['a'], gcd(4, 6), math.pi > 3)", "banana").output == "3 2 True\n"
    assert run("if __name__ == '__main__':\n    print('main')").output == "main\n"
    assert run("print('é')").output == "é\n"
    assert run("def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(40_000))").output == "40000\n"
    assert run("print(len(str(2**100_000)))").output == "30103\n"


@pytest.mark.parametrize("leave", ["exit()", "quit()", "sys.exit(0)", "sys.exit(3)", "raise SystemExit"])
def test_leaving_early_is_no_failure(confined, leave):
    outcome = run(f"print(1)\n{leave}\nprint(2)")
    assert (outcome.status, outcome.output) == (0, "1\n")


def test_a_program_that_raises_says_so(confined):
    outcome = run("print(1)\nundefined")
    assert outcome.status == 1
    assert outcome.output == "1\n"
    assert outcome.message == "NameError: name 'undefined' is not defined"
    assert "SyntaxError" in run("def").message
    assert run("import os\nos._exit(7)").status == 7


def test_a_function_is_called(confined):
    source = """
        class Solution:
            def add(self, a: List[int], b: int) -> List[int]:
                print("noise")
                return tuple(x + b for x in a)
    """
    assert run(source, "[1, 2]\n3", "add").output == "[4, 5]"
    assert run("def add(a, b):\n    return a + b", "1\n2\n", "add").output == "3"
    assert "defines no function add" in run("pass", "1", "add").message  # not operator.add
    assert "no attribute 'add'" in run("class Solution: pass", "1", "add").message
    assert run("def f(x):\n    return object()", "1", "f").status == 1
    assert run("def f(x):\n    return {'n': None}", "1", "f").output == '{"n": null}'


def test_a_thread_with_a_large_stack_may_recurse(confined):
    source = """
        import sys, threading
        sys.setrecursionlimit(10**6)
        threading.stack_size(64 << 20)
        def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
        thread = threading.Thread(target=lambda: print(depth(100_000)))
        thread.start()
        thread.join()
    """
    assert run(source).output == "100000\n"


def test_packages_of_this_python_can_be_imported(confined):
    numpy = pytest.importorskip("numpy")
    if not Path(numpy.__file__).is_relative_to(sysconfig.get_path("purelib")):
        pytest.skip("numpy is not among the packages of this Python")
    assert run("import numpy\nprint(numpy.arange(3).sum())").output == "3\n"


REFUSED = {
    "fork": "import os\nos.fork()",
    "subprocess": "import subprocess\nsubprocess.run(['/bin/true'])",
    "multiprocessing": "import multiprocessing as m\nm.Process(target=print).start()",
    "internet": "import socket\nsocket.create_connection(('1.1.1.1', 53), 1)",
    "local socket": "import socket\nsocket.socket(socket.AF_UNIX)",
    "name look-up": "import socket\nsocket.getaddrinfo('example.org', 80)",
    "passwd": "open('/etc/passwd')",
    "home": "import os\nos.listdir('/home')",
    "proc": "open('/proc/self/environ')",
    "sys": "import os\nos.listdir('/sys')",
    "raw memory": "open('/dev/mem')",
    "write to root": "open('/x', 'w')",
    "write to program": "open('/program/solution.py', 'w')",
    "write to packages": "open('/packages/x', 'w')",
    "write to libraries": "open('/usr/lib/x', 'w')",
    "remove": "import shutil\nshutil.rmtree('/program')",
    "mount": "import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\n"
    "if l.mount(b'none', b'/tmp', b'tmpfs', 0, None): raise OSError(ctypes.get_errno())",
    "namespace": "import ctypes\nl = ctypes.CDLL(None, use_errno=True)\n"
    "if l.unshare(0x10000000): raise OSError(ctypes.get_errno())",
    "shared memory": "import ctypes\nl = ctypes.CDLL(None, use_errno=True)\n"
    "if l.shmget(0, 1 << 30, 0o1600) < 0: raise OSError(ctypes.get_errno())",
    "become root": "import os\nif os.getuid() == 0: raise OSError\nos.setuid(0)",
    "raise a limit": "import resource as r\nr.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY,) * 2)",
    "kill the first process": "import os\nos.kill(1, 9)\nos.kill(1, 0)\nraise OSError",
    "device": "import os, stat\nos.mknod('/tmp/d', stat.S_IFBLK | 0o600, os.makedev(8, 0))",
    "chroot": "import os\nos.chroot('/tmp')",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(confined, name):
    outcome = run(REFUSED[name] + "\nprint('escaped')")
    assert "escaped" not in outcome.output
    assert outcome.status == 1
    assert "rror" in outcome.message


def test_nothing_of_the_host_is_seen(confined, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    (tmp_path / "secret").write_text("x")
    source = f"""
        import os, platform
        print(sorted(os.listdir('/')), os.listdir('/tmp'), os.listdir('/dev'), os.getcwd())
        print('SECRET_TOKEN' in os.environ, os.path.exists({str(tmp_path)!r}), platform.node())
        print(sorted(os.listdir('/proc')) if os.path.exists('/proc') else 'no proc')
        print(open('/program/solution.py').read()[:1] != '')
    """
    seen, hidden, proc, _ = run(source).output.splitlines()
    assert seen.endswith("[] ['null'] /tmp")
    assert set(eval(seen.partition("]")[0] + "]")) <= {
        "dev",
        "etc",
        "lib",
        "lib64",
        "packages",
        "program",
        "python",
        "tmp",
        "usr",
    }
    assert (hidden, proc) == ("False False sandbox", "no proc")


def test_time_is_limited(confined):
    for source in ("while True: pass", "import time\ntime.sleep(1000)", "input()\nwhile 1: pass"):
        began = time.monotonic()
        outcome = run(source, "\n", limits=SHORT)
        assert outcome.status is None
        assert time.monotonic() - began < 2 * SECONDS + 5
    nap = "import signal, time\nfor n in range(1, 65):\n  try: signal.signal(n, signal.SIG_IGN)\n"
    nap += "  except (OSError, ValueError): pass\nprint(1, flush=True)\ntime.sleep(1000)"
    assert run(nap, limits=SHORT).status is None


def test_nothing_survives_a_run(confined):
    limits = dataclasses.replace(SHORT, open_files=57)  # so that this run can be told from others
    source = """
        import threading, time
        threading.Thread(target=time.sleep, args=(1000,)).start()
        time.sleep(1000)
    """
    assert run(source, limits=limits).status is None
    for _ in range(50):
        if not any(b'"RLIMIT_NOFILE": 57' in line for line in command_lines()):
            return
        time.sleep(0.1)
    pytest.fail("a process of the run is still there")


def command_lines():
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            yield file.read_bytes()


def test_memory_is_limited(confined):
    for source in ("x = bytearray(10**12)", "x = []\nwhile True: x.append(bytes(10**6))"):
        outcome = run(source)
        assert outcome.status == 1
        assert outcome.message == "MemoryError"
    assert run("x = bytearray(200 << 20)\nprint(len(x))").output.strip() == str(200 << 20)


def test_threads_are_limited(confined):
    source = """
        import threading, time
        for number in range(200):
            try:
                threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
            except RuntimeError:
                break
        print(number)
    """
    started = int(run(source).output)
    if confined == "in a user namespace":  # here the tests run as root, whom the kernel does not count
        return
    assert 1 <= started < LIMITS.threads


def test_output_and_files_are_limited(confined):
    outcome = run("while True: print('y' * 1000)")
    assert outcome.status != 0
    assert "File too large" in outcome.message
    assert len(outcome.output) <= LIMITS.output_bytes
    outcome = run("import sys\nwhile True: sys.stderr.write('y' * 1000)")
    assert outcome.status != 0
    assert len(outcome.message) <= 1 << 16
    outcome = run("for n in range(100): open(f'/tmp/{n}', 'wb').write(bytes(10**6))")
    assert "No space left" in outcome.message
    outcome = run("x = [open('/dev/null') for _ in range(1000)]")
    assert "Too many open files" in outcome.message


def test_a_missing_sandbox_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    unavailable.cache_clear()
    try:
        with pytest.raises(SandboxError, match=r"apt-get install bubblewrap.*unsafe_local_exec") as caught:
            Sandbox()
        assert "\n" not in str(caught.value)
        assert run("print(1)", unsafe_local_exec=True).output == "1\n"
    finally:
        unavailable.cache_clear()


def test_a_sandbox_that_does_not_confine_is_refused(monkeypatch, tmp_path):
    """A ``bwrap`` that runs its command without confining it, as a broken one might."""
    fake = tmp_path / "bwrap"
    fake.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "request = json.dumps({**json.loads(sys.argv[-1]), 'uid': None})\n"
        "folder = sys.argv[sys.argv.index('/program') - 1]\n"
        "os.execv(sys.executable, [sys.executable, '-IS', folder + '/driver.py', request])\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    unavailable.cache_clear()
    try:
        assert shutil.which("bwrap") == str(fake)
        with pytest.raises(SandboxError, match="a program in it can start processes"):
            Sandbox()
    finally:
        unavailable.cache_clear()


def test_unsafe_local_exec_still_has_limits():
    options = {"unsafe_local_exec": True}
    assert run("print(int(input()) + 1)", "1", **options).output == "2\n"
    assert run("while True: pass", limits=SHORT, **options).status is None
    assert run("x = bytearray(10**12)", **options).message == "MemoryError"
    assert "File too large" in run("while True: print('y' * 1000)", **options).message
