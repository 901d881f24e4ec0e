"""Commands without their start: a process that has loaded them all, and forks one for each command line.

``python -m tests.experiments.zygote`` reads JSON lines ``{"command", "argv", "cwd", "env"}`` and answers each
with ``{"code", "out", "err"}``. JAX is loaded here and started in the children only.
"""

import importlib
import json
import os
import resource
import sys
import tempfile
import traceback

LIMIT_SECONDS = 60
"""Of CPU: what a command line of a table takes that is not refused, as it should be."""
COMMANDS = ("scaling_law", "sweep", "decode", "convert", "train", "fidelity", "fit_table", "plan")


def load() -> dict[str, object]:
    return {name: importlib.import_module(f"experiments.{name}") for name in COMMANDS}


def child(module, asked: dict, out: int, err: int) -> None:
    """Become the command; never returns."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    code = 1
    try:
        os.chdir(asked["cwd"])
        os.environ.update(asked["env"])
        if "JAX_PLATFORMS" in asked["env"]:  # JAX read it when it was loaded
            import jax

            jax.config.update("jax_platforms", asked["env"]["JAX_PLATFORMS"])
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS + 5))
        # The exact argv that the user would give, and text that a UTF-8 terminal would take.
        sys.argv = [f"experiments/{asked['command']}.py", *asked["argv"]]
        sys.stdin = open(os.devnull)  # noqa: SIM115 - it lives as long as the process
        sys.stdout = open(1, "w", encoding="utf-8", errors="strict", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="strict", closefd=False)  # noqa: SIM115
        sys.modules["__main__"] = module
        try:
            module.command()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - what the interpreter would print, it prints
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    modules = load()
    answers = os.dup(1)
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = os.fork()
            if pid == 0:
                child(modules[asked["command"]], asked, out.fileno(), err.fileno())
            _, status = os.waitpid(pid, 0)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode("utf-8", "replace"))
        code = os.waitstatus_to_exitcode(status)
        answer = {"code": code, "out": texts[0], "err": texts[1]}
        os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    serve()
