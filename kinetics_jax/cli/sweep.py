"""Decode, grade and price a whole experiment, in one command that can be run again after any interruption.

    kinetics sweep --config=NAME --out=DIR [--dry_run]

Options come from the config (a name, or a file's path) and are overridden by flags of the same names. See
docs/sweep.md.
"""

import os
import sys
from typing import Any

from kinetics_jax import storage
from kinetics_jax.commands.configs import define_config, define_options, options_from_flags
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.errors import InputError
from kinetics_jax.sweep.distributed import initialize
from kinetics_jax.sweep.options import GROUPS, OPTIONS, choose, read
from kinetics_jax.sweep.plan import plan_table
from kinetics_jax.sweep.shares import Share
from kinetics_jax.sweep.sweep import Outcome, Sweep, plan_sweep

flags = Flags()
flags.group("Command")
flags.DEFINE_string("out", None, "Directory of the sweep, or gs://bucket/path; required but for --dry_run.")
flags.DEFINE_boolean("dry_run", False, "Print the plan (cells, fit, hours, $) and do nothing.")
flags.DEFINE_boolean("merge", False, "Decode nothing: grade, merge and report what is there.")
flags.DEFINE_boolean("regrade", False, "As --merge, with every sample graded anew.")
flags.DEFINE_boolean("distributed", False, "Several processes, found by jax.distributed.")
define_config(flags, "tiny")
for _title, _options in GROUPS.items():
    flags.group(_title)
    define_options(flags, {name: option for name, option in _options.items() if name != "slice"})


def options() -> dict[str, Any]:
    """The config's options, with the flags that were given on top."""
    groups = ("models", "tasks")
    config = options_from_flags(flags, [n for n in OPTIONS if n not in (*groups, "slice")]).to_dict()
    named = {n: choose(n, config.get(n, {}), flags[n]) for n in groups if flags[n] is not None}
    return config | named


def run() -> Outcome | None:
    """Do what the flags say; None for a plan."""
    chosen = options()
    experiment = read(chosen)
    for task in experiment.tasks:
        if task.path is not None:  # said before a plan that assumes them, and before any work
            storage.input_path(task.path, f"--tasks={task.name}")
    if flags["dry_run"]:
        print(plan_table(experiment, plan_sweep(experiment)))
        return None
    sources = [(f"--models={choice.name}", choice.source) for choice in experiment.models]
    out = storage.output_folder(flags["out"] or "", "--out", sources=sources)
    share = initialize() if flags["distributed"] else Share()
    sweep = Sweep(experiment, out, share=share, settings=chosen)
    if flags["merge"] or flags["regrade"]:
        if share.processes > 1:
            raise InputError("--merge and --regrade are for one process: leave --distributed out")
        return sweep.finish(regrade=flags["regrade"])
    return sweep.run()


def main(_: list[str]) -> int:
    """Entry point; gives the exit code."""
    outcome = run()
    if outcome is None:
        return 0
    out = storage.expand(flags["out"], "--out")
    if outcome.summary:
        print(outcome.summary)
        print(f"\nreport: {os.path.join(out, 'report', 'report.html')}")
    print(f"{out}: {outcome.done:,} of {outcome.wanted:,} samples")
    if outcome.signal is None:
        return 0
    print("stopped; every finished sample is kept, and the same command goes on from here")
    return 128 + outcome.signal


def _leave(status: int) -> None:
    """End now: with several processes a plain exit would wait for the others, which may be at work."""
    if status and flags["distributed"]:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


command = Command(about=__doc__, flags=flags, main=main, leave=_leave)
