"""How far prices are off public measurements: ``kinetics validate-prices --data=FOLDER``.

Kernels call by call, and serving deployments by their time per token, in the mode that is asked for: error,
bias, and the share that lay in the price's own 90 % interval.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from kinetics_jax import storage
from kinetics_jax.calibration import Accuracy, accuracy, all_pairs, by_group, evidence_toml
from kinetics_jax.calibration.sparse_twins import SignAccuracy, sign_accuracy
from kinetics_jax.calibration.validate import GROUPS, Pairs
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.costs import OVERLAPS
from kinetics_jax.errors import InputError
from kinetics_jax.report.figures.predicted import draw_predicted

flags = Flags()
_DATA = flags.DEFINE_string(
    "data", "", "Folder of gemm.csv.gz, …, end_to_end.csv.gz (docs/calibration.md); those that are there."
)
_MODE = flags.DEFINE_enum("mode", "calibrated", ["calibrated", "exact"], "Prices to hold against the data.")
_OVERLAP = flags.DEFINE_enum(
    "overlap", "sum", list(OVERLAPS), "How exact prices add up; calibrated ones: sum."
)
_BY = flags.DEFINE_enum("by", "", ["", *GROUPS], "Also by chip, framework or model.")
_JSON = flags.DEFINE_string("json", "", "File to write every figure to as JSON.")
_FIGURE = flags.DEFINE_string("figure", "", "SVG file to draw predicted against measured to.")
_EVIDENCE = flags.DEFINE_string(
    "evidence", "", "TOML file to write the errors of all modes to, as reports cite them."
)
_SOURCE = flags.DEFINE_string("source", "", "Whose measurements they are, and of when; for --evidence.")
_BAR = flags.DEFINE_string(
    "bar", "", "JSON of the largest error allowed, in %, by kind; exit code 1 where one is not met."
)
_HEAD = (
    "How far prices were off public deployments' time per token, by mode: serving, static decodes of a chip.",
    "Made by python -m experiments.validate_prices --data=… --evidence=… and never by hand; see",
    "docs/calibration.md. error: mean of |predicted ÷ measured − 1|; bias: median of predicted ÷ measured,",
    "less one; low and high: measured ÷ predicted that one in twenty was below and above; covered: share in",
    "the price's own 90 % interval.",
)


def main(_: list[str]) -> int:
    """Compare, print, and write what was asked for; exit code 1 where a bar is not met."""
    if not _DATA.value:
        raise InputError("--data is needed: a folder of public measurements, see docs/calibration.md")
    if _EVIDENCE.value and not _SOURCE.value:
        raise InputError("--evidence needs --source: whose measurements they are")
    named = {"--json": _JSON.value, "--figure": _FIGURE.value, "--evidence": _EVIDENCE.value}
    files = {flag: storage.output_file(path, flag) for flag, path in named.items() if path}
    bar = _read_bar(_BAR.value)
    folder = storage.input_path(_DATA.value, "--data", folder=True)
    if _MODE.value == "calibrated" and _OVERLAP.value != "sum":
        raise InputError("--overlap is read with --mode=exact only: calibrated kernels run one after another")
    pairs = all_pairs(folder, _MODE.value, _OVERLAP.value)
    found = {kind: _figures(kind, one) for kind, one in pairs.items()}
    if (folder / "dsa_vs_mla_matched.csv.gz").exists():
        found["sparse_twins"] = _twins(sign_accuracy(folder))
    texts: dict[str, Any] = {
        "--json": lambda: (
            json.dumps({"mode": _MODE.value, "overlap": _OVERLAP.value, **found}, indent=1) + "\n"
        ),
        "--figure": lambda: draw_predicted(pairs, _MODE.value).svg.decode(),
        "--evidence": lambda: evidence_toml(folder, _SOURCE.value, _HEAD),
    }
    for flag, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(texts[flag](), encoding="utf-8")
    if missed := [line for kind, most in bar.items() if (line := _missed(kind, most, found))]:
        print(f"--bar is not met: {'; '.join(missed)}", file=sys.stderr)
        return 1
    return 0


def _figures(kind: str, pairs: Pairs) -> dict[str, Any]:
    """One kind's figures, printed as they are found."""
    whole = accuracy(pairs)
    for line in pairs.refused:
        print(f"{kind}: rows without a price: {line}")
    if whole is None:
        print(f"{kind}: no row has a price")
        return {"rows": len(pairs.measured), "priced": 0}
    _print(kind, whole)
    groups = by_group(pairs, _BY.value) if _BY.value else {}
    for name, one in groups.items():
        _print(f"  {name}", one)
    return {
        **_plain(whole),
        **({"by": {name: _plain(one) for name, one in groups.items()}} if groups else {}),
    }


def _twins(one: SignAccuracy) -> dict[str, Any]:
    """Whether sparse or dense was named the faster, printed as it is found."""
    print(
        f"{'sparse_twins':34} {one.right:6.1%} of {one.clear:,} clear pairs named right ({one.beyond:.1%} "
        f"above 2,048 tokens; always dense: {one.dense_faster:.1%}), chips kept apart; "
        f"{one.error_sparse:.0%} and {one.error_dense:.0%} off"
    )
    return dataclasses.asdict(one)


def _plain(one: Accuracy) -> dict[str, float | None]:
    return {name: None if value != value else value for name, value in dataclasses.asdict(one).items()}


def _print(name: str, one: Accuracy) -> None:
    inside = "" if one.covered != one.covered else f", {one.covered:.0%} in the 90 % interval"
    print(
        f"{name:34} {one.error:6.1%} off, median {one.median:.1%}, bias {one.bias:+.1%}, nine in ten within "
        f"{one.p90:.0%}{inside}; {one.priced:,} of {one.rows:,} rows"
    )


def _read_bar(path: str) -> dict[str, float]:
    """Kind → largest error in %; raises ``InputError`` for a file that says anything else."""
    if not path:
        return {}
    file: Path = storage.input_path(path, "--bar", folder=False)
    try:
        read = {str(kind): float(most) for kind, most in json.loads(file.read_text("utf-8")).items()}
    except (OSError, UnicodeDecodeError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{file}: not a JSON of a largest error in % by kind ({error})") from None
    return read


def _missed(kind: str, most: float, found: dict[str, dict[str, Any]]) -> str:
    """In what a bar is not met; empty where it is."""
    error = found.get(kind, {}).get("error")
    if error is None:
        return f"{kind}: not compared"
    return f"{kind}: {100 * error:.1f} % against {most:g} %" if 100 * error > most else ""


command = Command(about=__doc__, flags=flags, main=main)
