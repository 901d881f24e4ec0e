"""Runs a model's program on one test: the only code of ours inside the sandbox, standard library only.

Arguments: one JSON object with ``function`` (null: the program reads standard input and prints),
``packages`` (a further folder of modules), ``uid`` (to become) and ``rlimits``. The program is
``solution.py`` beside this file.
"""

import json
import os
import resource
import sys
from typing import Any

PRELUDE = (
    "string",
    "re",
    "datetime",
    "collections",
    "heapq",
    "bisect",
    "copy",
    "math",
    "random",
    "statistics",
    "itertools",
    "functools",
    "operator",
    "io",
    "sys",
    "json",
    "builtins",
    "typing",
)
"""Modules whose names a program may use without an import, in this order: starter code says
``List[int]`` and imports nothing. The list is lighteval's, so that verdicts can be compared."""
RECURSION = 50_000


def main() -> None:
    """Confine this process, then run the program; a program that raises exits with status 1."""
    request = json.loads(sys.argv[1])
    with open(os.path.join(os.path.dirname(__file__), "solution.py"), encoding="utf-8") as file:
        source = file.read()
    confine(request["rlimits"], request["uid"])
    if request["packages"]:
        sys.path.append(request["packages"])
    sys.argv = ["solution.py"]
    sys.setrecursionlimit(RECURSION)
    names = prelude()
    # Integers of any length are legal output of a contest program.
    sys.set_int_max_str_digits(0)
    if request["function"] is None:
        run(source, {**names, "__name__": "__main__"})
    else:
        call(source, {**names, "__name__": "solution"}, request["function"])


def confine(rlimits: dict[str, int], uid: int | None) -> None:
    """Set hard limits, then give up root where it is held: the kernel exempts root from one of them."""
    for name, value in rlimits.items():
        # A second more for CPU time: the first signal of that limit tells it from others.
        hard = value + 1 if name == "RLIMIT_CPU" else value
        resource.setrlimit(getattr(resource, name), (value, hard))
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def prelude() -> dict[str, Any]:
    """The names of ``PRELUDE``: what each module exports, then the modules themselves."""
    names: dict[str, Any] = {}
    for module in PRELUDE:
        exec(f"from {module} import *", names)
    for module in PRELUDE:
        exec(f"import {module}", names)
    # Python runs without ``site``, half of its start-up time, which defines these.
    names["exit"] = names["quit"] = sys.exit
    return names


def run(source: str, names: dict[str, Any]) -> None:
    """The program as a script; leaving by ``exit()`` is no failure."""
    try:
        exec(compile(source, "solution.py", "exec"), names)
    except SystemExit:
        return


def call(source: str, names: dict[str, Any], function: str) -> None:
    """One call with the JSON arguments of standard input, a line each; prints the result as JSON."""
    answer = os.fdopen(os.dup(1), "w")
    arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what the program prints is not its answer
    given = names.get(function)
    exec(compile(source, "solution.py", "exec"), names)
    method = getattr(names["Solution"](), function) if "Solution" in names else names.get(function)
    if method is None or method is given:  # at most a namesake from the prelude
        raise NameError(f"the program defines no function {function}")
    json.dump(method(*arguments), answer, default=lambda value: value.item())
    answer.flush()


if __name__ == "__main__":
    main()
