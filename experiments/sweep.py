r"""Decode, grade and price a whole experiment, in one command that can be run again after any interruption.

    python -m experiments.sweep --config=configs/NAME.py --out=DIR [--dry_run]

Options come from the config file and are overridden by flags of the same names. See docs/sweep.md.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from configs import sweep as defaults
from kinetics_jax.spec import InputError, KineticsError
from kinetics_jax.sweep.distributed import initialize
from kinetics_jax.sweep.options import OPTIONS, read, split
from kinetics_jax.sweep.plan import plan_table
from kinetics_jax.sweep.run import Outcome, Sweep, plan_sweep
from kinetics_jax.sweep.work import Share

_DEFINE: dict[type, Any] = {bool: flags.DEFINE_boolean, int: flags.DEFINE_integer, float: flags.DEFINE_float,
           str: flags.DEFINE_string, tuple: flags.DEFINE_string}  # fmt: skip


def define_flags() -> None:
    """One flag an option, so that none can be set and not read, and those of the command itself."""
    config_flags.DEFINE_config_file("config", None, "Experiment file; see configs/.")
    flags.DEFINE_string("out", None, "Directory of the sweep, or gs://bucket/path; required.")
    flags.DEFINE_boolean("dry_run", False, "Print the plan (cells, fit, hours, $) and do nothing.")
    flags.DEFINE_boolean("merge", False, "Decode nothing: grade, merge and report what is there.")
    flags.DEFINE_boolean("regrade", False, "As --merge, with every sample graded anew.")
    flags.DEFINE_boolean("distributed", False, "Several processes, found by jax.distributed.")
    for name, (default, text) in OPTIONS.items():
        _DEFINE[type(default)](name, None, text)


def options_from_flags() -> dict[str, Any]:
    """The config file's options, or the default config's, with the flags that were given on top."""
    values = flags.FLAGS
    try:
        config = values.config if values.config is not None else defaults.get_config()
        options = dict(config)
    except OSError as error:  # a file that could not be loaded says so when it is first looked into
        raise InputError(f"--config: {' '.join(str(error).split())}") from None
    except TypeError:
        raise InputError("--config: get_config() must return a ConfigDict") from None
    for name, (default, _) in OPTIONS.items():
        if (value := values[name].value) is not None:
            options[name] = split(value) if isinstance(default, tuple) else value
    return options


def parse_flags(argv: list[str]) -> list[str]:
    """What ``app.run`` does, with a config file that fails to load said in one line."""
    try:
        return app.parse_flags_with_usage(argv)
    except Exception as error:  # noqa: BLE001 - a config file is the user's code and may raise anything
        text = " ".join(str(error).split())
        print(f"sweep: --config: {type(error).__name__}: {text}", file=sys.stderr)
        sys.exit(2)


def run() -> Outcome | None:
    """Do what the flags say; None for a plan."""
    values = flags.FLAGS
    share = initialize() if values.distributed and not values.dry_run else Share()
    options = options_from_flags()
    experiment = read(options)
    if values.dry_run:
        print(plan_table(experiment, plan_sweep(experiment)))
        return None
    if not values.out:
        raise InputError("--out is empty: name the directory to write")
    sweep = Sweep(experiment, values.out, share=share, settings=options)
    if values.merge or values.regrade:
        if share.processes > 1:
            raise InputError("--merge and --regrade are for one process: leave --distributed out")
        return sweep.finish(regrade=values.regrade)
    return sweep.run()


def main(argv: Sequence[str]) -> None:
    """Entry point: bad input is one line on stderr and exit code 2."""
    try:
        if len(argv) > 1:
            raise InputError(f"unexpected argument {argv[1]!r}: options start with --")
        outcome = run()
    except KineticsError as error:
        print(f"sweep: {error}", file=sys.stderr)
        _leave(2)
    except KeyboardInterrupt:  # before the sweep has begun; later it is a request to stop
        print("sweep: interrupted; nothing was written", file=sys.stderr)
        _leave(130)
    if outcome is None:
        return
    out = flags.FLAGS.out
    if outcome.summary:
        print(outcome.summary)
        print(f"\nreport: {os.path.join(out, 'report', 'report.html')}")
    print(f"{out}: {outcome.done:,} of {outcome.wanted:,} samples")
    if outcome.signal is not None:
        print("stopped; every finished sample is kept, and the same command goes on from here")
        sys.stdout.flush()
        _leave(128 + outcome.signal)  # 143: preempted; 130: Ctrl-C


def _leave(status: int) -> None:
    """End now: with several processes a plain exit would wait for the others, which may be at work."""
    sys.stderr.flush()
    if flags.FLAGS.distributed:
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    define_flags()
    app.run(main, flags_parser=parse_flags)
