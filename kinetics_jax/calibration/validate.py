"""How far predictions are off public measurements: error, bias and coverage, by kind and by group."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from kinetics_jax.calibration.deployments import STATIC, Deployed, priced, read_deployments
from kinetics_jax.calibration.tables import TABLES, Columns, KernelTable, forms, of_form, read_kernels, select
from kinetics_jax.chips import Chip, chips
from kinetics_jax.chips.efficiency import Efficiency
from kinetics_jax.costs import Cost
from kinetics_jax.costs.evidence import LEVEL
from kinetics_jax.errors import InputError

GROUPS = ("chip", "framework", "model")


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Predicted and measured seconds of rows of one kind, with what the rows are grouped by."""

    predicted: np.ndarray
    """NaN where a row has no prediction."""
    measured: np.ndarray
    low: np.ndarray
    """Ends of the 90 % interval; NaN where there is none."""
    high: np.ndarray
    groups: Mapping[str, np.ndarray]
    """Name of a grouping → each row's group."""
    refused: tuple[str, ...] = ()
    """Why rows have no prediction, each line once."""

    def where(self, rows: np.ndarray) -> "Pairs":
        """Some of the rows."""
        parts = {name: getattr(self, name)[rows] for name in ("predicted", "measured", "low", "high")}
        return dataclasses.replace(self, **parts, groups={k: v[rows] for k, v in self.groups.items()})


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """How far predictions of some rows were off."""

    rows: int
    priced: int
    """Rows that had a prediction."""
    error: float
    """Mean of |predicted ÷ measured − 1|."""
    median: float
    """Median of the same."""
    bias: float
    """Median of predicted ÷ measured, less one."""
    p90: float
    """What nine in ten of |predicted ÷ measured − 1| are below."""
    low: float
    """Measured ÷ predicted that one in twenty is below."""
    high: float
    """Measured ÷ predicted that one in twenty is above."""
    covered: float
    """Share of the predicted rows that lie in their 90 % interval; NaN where there is none."""


def accuracy(pairs: Pairs) -> Accuracy | None:
    """The figures of ``Accuracy``; None where no row has a prediction."""
    there = pairs.where(~np.isnan(pairs.predicted))
    if not len(there.predicted):
        return None
    ratio = there.predicted / there.measured
    off = abs(ratio - 1)
    bounded = there.where(~np.isnan(there.low))
    inside = (bounded.low <= bounded.measured) & (bounded.measured <= bounded.high)
    low, high = np.quantile(1 / ratio, (0.05, 0.95))
    return Accuracy(
        rows=len(pairs.measured),
        priced=len(ratio),
        error=float(off.mean()),
        median=float(np.median(off)),
        bias=float(np.exp(np.median(np.log(ratio))) - 1),
        p90=float(np.quantile(off, 0.9)),
        low=float(low),
        high=float(high),
        covered=float(inside.mean()) if len(inside) else float("nan"),
    )


def by_group(pairs: Pairs, grouping: str) -> dict[str, Accuracy]:
    """``accuracy`` of each group that has predictions."""
    names = pairs.groups.get(grouping, np.array([], str))
    found = {str(name): accuracy(pairs.where(names == name)) for name in sorted(set(names))}
    return {name: one for name, one in found.items() if one is not None}


def kernel_pairs(folder: Path, table: KernelTable, mode: str) -> Pairs:
    """One kind of kernel, as ``calibrated`` or as the data sheet alone (``exact``) has it."""
    columns = read_kernels(folder, table)
    parts = [_predicted(table, of_form(table, columns, form), form, mode) for form in forms(table, columns)]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("predicted", "measured", "low", "high")
    }
    groups = {name: np.concatenate([part.groups[name] for part in parts]) for name in (*GROUPS[:2], "format")}
    refused = tuple(dict.fromkeys(line for part in parts for line in part.refused))
    return Pairs(**joined, groups=groups, refused=refused)


def _predicted(table: KernelTable, columns: Columns, form: str, mode: str) -> Pairs:
    size = len(columns["us"])
    seconds, low, high = (np.full(size, np.nan) for _ in range(3))
    refused = []
    for name in sorted(set(columns["chip"])):
        mine = columns["chip"] == name
        try:
            chip = _ideal(chips[name], table, form) if mode == "exact" else chips[name]
            eff = chip.reached(table.op, form)
            seconds[mine] = table.seconds(chip, select(columns, mine), form)
        except InputError as error:
            refused.append(str(error))
            continue
        if mode != "exact":
            low[mine], high[mine] = seconds[mine] * eff.low, seconds[mine] * eff.high
    groups = {"chip": columns["chip"], "framework": columns["framework"], "format": np.full(size, form)}
    return Pairs(seconds, columns["us"] * 1e-6, low, high, groups, tuple(refused))


def _ideal(chip: Chip, table: KernelTable, form: str) -> Chip:
    """The chip as its data sheet has it: no floors, all of the peaks."""
    return dataclasses.replace(chip, efficiency={table.op: {form: Efficiency()}})


def deployment_pairs(rows: Iterable[Deployed], mode: str, overlap: str = "sum") -> dict[str, Pairs]:
    """Kind of deployment → predicted and measured seconds a token."""
    found: dict[str, list[tuple[Deployed, Cost | str]]] = {}
    for row, cost in priced(list(rows), mode, overlap):
        found.setdefault(row.kind, []).append((row, cost))
    return {kind: _deployments(pairs) for kind, pairs in found.items()}


def _deployments(pairs: list[tuple[Deployed, Cost | str]]) -> Pairs:
    figures = np.full((3, len(pairs)), np.nan)
    for at, (row, cost) in enumerate(pairs):
        if isinstance(cost, str):
            continue
        figures[0, at] = row.per_token(cost.seconds)
        if cost.mode == "calibrated":
            figures[1:, at] = [row.per_token(bound) for bound in cost.interval(LEVEL)]
    return Pairs(
        *(figures[0], np.array([row.seconds for row, _ in pairs]), figures[1], figures[2]),
        groups={name: np.array([getattr(row, name) for row, _ in pairs]) for name in GROUPS},
        refused=tuple(dict.fromkeys(cost for _, cost in pairs if isinstance(cost, str))),
    )


def all_pairs(folder: Path, mode: str, overlap: str = "sum") -> dict[str, Pairs]:
    """Kind of kernel, and ``deployments/KIND``, → predicted and measured, of the tables in the folder.

    ``mode``: ``calibrated`` or ``exact``. Raises ``InputError`` where the folder has none of them.
    """
    tables = [table for table in TABLES if (folder / f"{table.op}.csv.gz").exists()]
    found = {table.op: kernel_pairs(folder, table, mode) for table in tables}
    if (folder / "end_to_end.csv.gz").exists():
        rows = read_deployments(folder)
        found |= {
            f"deployments/{kind}": pairs for kind, pairs in deployment_pairs(rows, mode, overlap).items()
        }
    if not found:
        names = ", ".join(f"{table.op}.csv.gz" for table in TABLES)
        raise InputError(f"{folder}: holds none of {names}, end_to_end.csv.gz")
    return found


def evidence_toml(folder: Path, source: str, head: Iterable[str]) -> str:
    """The text of ``costs/validation.toml``: how far modes were off serving, and static decodes of a chip."""
    rows = read_deployments(folder)
    lines = [f"# {line}".rstrip() for line in head]
    modes = [("exact", overlap) for overlap in ("sum", "max", "roofline")] + [("calibrated", "sum")]
    for mode, overlap in modes:
        pairs = deployment_pairs(rows, mode, overlap)
        name = mode if overlap == "sum" else f"{mode}_{overlap}"
        told = {"serving": accuracy(pairs["serving"])} if "serving" in pairs else {}
        told |= by_group(pairs[STATIC], "chip") if STATIC in pairs else {}
        for what, one in told.items():
            if one is None:
                continue
            figures = {"rows": one.priced} | {
                key: float(f"{getattr(one, key):.3g}") for key in ("error", "bias", "low", "high")
            }
            if not np.isnan(one.covered):
                figures["covered"] = float(f"{one.covered:.3g}")
            lines += ["", f"[{name}.{what}]", *(f"{key} = {value}" for key, value in figures.items())]
            lines.append(f'source = "{source}"')
    return "\n".join(lines) + "\n"
