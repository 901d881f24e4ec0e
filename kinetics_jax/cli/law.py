"""From reasoning traces to the scaling law, in one command.

    kinetics law --traces=PATH[,PATH…] --chip=b200[,tpu_v6e…] --out=DIR

Options come from a config (``--config=law:paper``) and are overridden by flags. Without ``--traces`` it
decodes the built-in suite with the shipped models first, beside ``--out``; with ``--nodecode`` it runs what
needs no accuracy: KV trend, Φ, contours, capacity and batch per chip.
"""

import dataclasses
import functools
import os
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from kinetics_jax import storage
from kinetics_jax.chips import priced_chips
from kinetics_jax.cli.law_options import OPTIONS, defaults
from kinetics_jax.commands.configs import define_config, define_options, load_config, options_from_flags
from kinetics_jax.commands.flags import Flags, program
from kinetics_jax.commands.main import Command
from kinetics_jax.commands.stop_signal import Stopped, StopSignal
from kinetics_jax.commands.values import typed
from kinetics_jax.errors import InputError
from kinetics_jax.policies import parse_policy
from kinetics_jax.report import check_out_dir, summary_table, write_results
from kinetics_jax.scaling import Trials, read_trials, write_csv
from kinetics_jax.scaling.law.all_laws import find_results
from kinetics_jax.scaling.law.one_law import LawOptions

flags = Flags()
define_config(flags, "law")
define_options(flags, OPTIONS)


def options() -> ConfigDict:
    """The config's options, with the flags that were given on top."""
    found = options_from_flags(flags, OPTIONS)
    if unknown := sorted(set(found) - set(OPTIONS)):
        raise InputError(f"config has no option {', '.join(unknown)}; it has {', '.join(OPTIONS)}")
    given = defaults()
    for name, value in found.items():
        given[name] = typed(name, value, OPTIONS[name].default, _split)
    return given


def _split(text: str) -> tuple[str, ...]:
    """At commas, but for those between brackets: ``roc(0.9, 0.1)`` is one verifier."""
    return tuple(part.strip() for part in re.split(r",(?![^()]*\))", text) if part.strip())


def run(config: ConfigDict) -> Any:
    """Do the job and return the folder of the results: a ``Path``, or the place in an object store."""
    chips = priced_chips(config.chip, config.price_basis, config.usd_per_hour)
    fields = {field.name for field in dataclasses.fields(LawOptions)}
    options = LawOptions(**{name: config[name] for name in OPTIONS if name in fields})
    project = parse_policy(config.project_policy) if config.project_policy else None
    patterns = _patterns(config)
    check_out_dir(config.out, "--out")
    out = storage.place(config.out, "--out")
    tokenizer = _tokenizer(config.tokenizer)
    trials = _read(list(config.traces), config, patterns, tokenizer) if config.traces else None
    if trials is None and config.decode:
        trials = _read([_decode(config, options)], config, patterns, tokenizer)
    with tqdm(desc="laws", unit="law", disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        results = find_results(
            trials,
            chips,
            options,
            project=project,
            min_questions=config.min_questions,
            default_prompt_tokens=config.default_prompt_tokens,
            jobs=config.jobs or os.cpu_count() or 1,
            settings={name: value for name, value in config.to_dict().items() if name != "jobs"},
            on_progress=progress,
        )
    extra = {"trials.csv": functools.partial(write_csv, trials)} if trials is not None else {}
    write_results(results, out, extra_files=extra)
    print(summary_table(results))
    return out


class DecodingStopped(Exception):  # noqa: N818 - it is no error
    """A signal ended the decoding; what is finished is kept."""


def _decode(config: ConfigDict, options: LawOptions) -> str:
    """The records of the built-in suite, decoded here and now, or the rest of them after a stop."""
    from kinetics_jax.sweep.options import read  # these and what they need are for decoding only
    from kinetics_jax.sweep.sweep import Sweep

    root = f"{storage.expand(config.out, '--out').rstrip('/')}-samples-seed{options.seed}"
    suite = load_config("suite")
    suite.update(seed=options.seed, chip=tuple(config.chip), report=False)
    chosen = suite.to_dict()
    print(f"decoding the built-in suite; its samples are kept in {root}", flush=True)
    outcome = Sweep(read(chosen), root, settings=chosen).run()
    if outcome.signal is not None:
        raise DecodingStopped(outcome.signal)
    return os.path.join(root, "records.jsonl")


def _patterns(config: ConfigDict) -> dict[str, re.Pattern[str]]:
    """Column → what its values must match."""
    found = {}
    for column, option in (("dataset", "datasets"), ("model", "models")):
        try:
            found[column] = re.compile(config[option])
        except re.error as error:
            raise InputError(f"--{option}={config[option]!r} is no regular expression: {error}") from None
    return found


def _read(
    paths: list[str], config: ConfigDict, patterns: dict[str, re.Pattern[str]], tokenizer: Any
) -> Trials:
    """The trials of all files that the data set and model patterns let through."""
    with tempfile.TemporaryDirectory() as folder:
        trials = read_trials(
            [_here(path, os.path.join(folder, str(n))) for n, path in enumerate(paths)],
            model=config.trace_model or None,
            dataset=config.trace_dataset or None,
            tokenizer=tokenizer,
        )
    keep = np.ones(len(trials), bool)
    for column, pattern in patterns.items():
        keep &= np.array([bool(pattern.search(value)) for value in getattr(trials, column)], bool)
    if not keep.any():
        raise InputError(
            f"no row is left with --datasets={config.datasets!r} --models={config.models!r}; the files "
            f"hold {', '.join(sorted(set(trials.dataset)))} by {', '.join(sorted(set(trials.model)))}"
        )
    chosen = trials.select(keep)
    unknown = next((row for row, name in enumerate(chosen.model) if chosen.shape_of(name) is None), None)
    if unknown is not None:
        raise InputError(
            f"{chosen.where(unknown)}: unknown model {chosen.model[unknown]!r}: no shape to price it "
            "by. Leave it out with --models=PATTERN, or name it as one of kinetics_jax.shapes.presets"
        )
    return chosen


def _here(path: str, folder: str) -> str:
    """The file, or a copy of it in ``folder`` where it lies in an object store."""
    if not storage.is_object_store(path):
        return storage.expand(path, "--traces")
    source = storage.place(path, "--traces")
    copy = Path(folder) / source.name
    copy.parent.mkdir()
    try:
        copy.write_bytes(source.read_bytes())
    except OSError as error:
        raise InputError(f"--traces={path}: {error.strerror or 'no such file'}") from None
    return str(copy)


def _tokenizer(path: str) -> Any:
    if not path:
        return None
    file = storage.input_path(path, "--tokenizer", folder=False)
    from tokenizers import Tokenizer  # heavy, and needed for one of three formats only

    try:
        tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--tokenizer={path}: cannot be read ({error})") from None
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower for a bad file
        raise InputError(f"--tokenizer={path}: not a tokenizer.json ({error})") from None
    tokenizer.no_truncation()  # what a training script left in the file must not cut the counts
    tokenizer.no_padding()
    return tokenizer


def main(_: list[str]) -> int:
    """Entry point; gives the exit code: stopped by a signal it is 128 + that."""
    stop = StopSignal()
    try:
        with stop, stop.at_once():
            out = run(options())
    except DecodingStopped as decoding:
        print(f"{program()}: stopped; the same command goes on from there", file=sys.stderr)
        return 128 + decoding.args[0]
    except (Stopped, KeyboardInterrupt):
        print(f"{program()}: stopped; no report was written", file=sys.stderr)
        return 128 + (stop.received or signal.SIGINT)
    print(f"\nreport: {out / 'report.html'}")
    return 0


command = Command(about=__doc__, flags=flags, main=main)
