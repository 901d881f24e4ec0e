"""Constants of kernels from public timings, with the error on shapes and on chips that were kept apart.

Residuals are logarithms of predicted over measured, under a loss that far outliers do not rule: frameworks
differ by up to a factor of three at one shape, and a price is of no framework. No kernel's constant sees a
deployment; only chips whose kernels nobody timed get a factor from whole ones (``_enter_whole``).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from kinetics_jax.calibration.deployments import STATIC, Deployed, priced, read_deployments
from kinetics_jax.calibration.sparse_twins import choosing_floors
from kinetics_jax.calibration.tables import TABLES, Columns, KernelTable, forms, of_form, read_kernels, select
from kinetics_jax.chips import Chip, chips
from kinetics_jax.chips.efficiency import ANY, SHARED, UNSEEN, Efficiency

NOT_SHARED = frozenset({"b60"})
"""Chips that are fitted alone: of another maker, with another runtime."""
FOLDS = 4
_LIBRARY = "NCCL"
_OUTLIER = 0.15
"""Logarithm beyond which a residual counts linearly."""
_BOUNDS = {
    "compute": (0.01, 1.0),
    "bandwidth": (0.01, 1.0),
    "cached": (0.01, 10.0),
    "cached_span": (0.02, 2.0),
    "skew_flops": (0.1, 10.0),
    "skew_bytes": (0.1, 1.0),
    "per_row": (0.01, 100.0),
}
_SECONDS = (1e-13, 1e-3)
"""Of floors, and of what is added for each token, row or peer."""
_ASSUMED = {
    "search": Efficiency(
        floor=5e-6,
        error=0.5,
        low=0.5,
        high=2.0,
        basis="assumed",
        source="a launch that scores or selects, as the smallest of public indexers take",
    ),
    "pointwise": Efficiency(
        bandwidth=0.8,
        floor=2.5e-6,
        error=0.5,
        low=0.5,
        high=2.0,
        basis="assumed",
        source="a launch in a graph, as the smallest matmuls of the tables take",
    ),
    "host": Efficiency(
        floor=2e-4,
        error=0.75,
        low=0.25,
        high=4.0,
        basis="assumed",
        source="scheduling and sampling of a step that its kernels do not hide",
    ),
}
"""What no public table says, with the range that an answer keeps."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Rows of one kind of kernel and format of one or more chips."""

    table: KernelTable
    form: str
    columns: Columns

    def of_chip(self, name: str) -> "Sample":
        """Rows of one chip."""
        return self.where(self.columns["chip"] == name)

    def where(self, rows: np.ndarray) -> "Sample":
        """Some of the rows."""
        return dataclasses.replace(self, columns=select(self.columns, rows))

    @property
    def chips(self) -> list[str]:
        """Names of the chips in the rows that the table of chips has."""
        return [name for name in sorted(set(self.columns["chip"])) if name in chips]

    def predicted(self, eff: Efficiency) -> np.ndarray:
        """Seconds of every row under these constants, each on its own chip's data sheet."""
        seconds = np.zeros(len(self.columns["us"]))
        for name in self.chips:
            mine = self.columns["chip"] == name
            chip = with_efficiency(chips[name], self.table.op, self.form, eff)
            seconds[mine] = self.table.seconds(chip, select(self.columns, mine), self.form)
        return seconds

    @property
    def measured(self) -> np.ndarray:
        """Seconds of every row."""
        return self.columns["us"] * 1e-6


def with_efficiency(chip: Chip, op: str, form: str, eff: Efficiency) -> Chip:
    """The chip with these constants for one kind of kernel."""
    return dataclasses.replace(chip, efficiency={**chip.efficiency, op: {form: eff}})


def fit(sample: Sample) -> Efficiency:
    """The constants that predict the rows best, without evidence."""
    if sample.table.op == "all_reduce":  # a framework reduces what a step sends with a kernel of its own
        sample = sample.where(sample.columns["kernel"] != _LIBRARY)
    names = [name for name in sample.table.constants if name in _wanted(sample)]
    start = np.log([sample.table.constants[name] for name in names])
    limits = np.log([_BOUNDS.get(name, _SECONDS) for name in names]).T

    def made(logs: np.ndarray) -> Efficiency:
        values = dict(zip(names, np.exp(logs).tolist(), strict=True))
        if "cached" in values:  # a cache is no slower than what is behind it
            values["cached"] = max(values["cached"], values["bandwidth"])
        return Efficiency(**values)

    def residuals(logs: np.ndarray) -> np.ndarray:
        return np.log(sample.predicted(made(logs)) / sample.measured)

    best = least_squares(residuals, start, bounds=limits, loss="soft_l1", f_scale=_OUTLIER, max_nfev=200)
    return made(best.x)


def _wanted(sample: Sample) -> set[str]:
    """Constants that these rows can say anything of: no cache where it is not known how large it is."""
    cached = all(chips[name].l2_bytes for name in sample.chips)
    return {name for name in sample.table.constants if cached or not name.startswith("cached")}


def evidence(predicted: np.ndarray, measured: np.ndarray) -> dict[str, Any]:
    """``error``, ``low``, ``high`` and ``rows`` of predictions, as fields of ``Efficiency``."""
    low, high = np.quantile(measured / predicted, (0.05, 0.95))
    error = float(np.mean(abs(predicted / measured - 1)))
    return {"error": error, "low": float(low), "high": float(high), "rows": len(measured)}


def held_out(sample: Sample) -> dict[str, Any]:
    """Evidence on shapes that the fit did not see: whole shapes in ``FOLDS`` parts, each predicted once."""
    keys = list(zip(*(sample.columns[name] for name in sample.table.together), strict=True))
    order = {key: index % FOLDS for index, key in enumerate(sorted(set(keys)))}
    fold = np.array([order[key] for key in keys])
    if len(order) < FOLDS:  # too few shapes to keep any apart
        return evidence(sample.predicted(fit(sample)), sample.measured)
    seconds = np.zeros(len(keys))
    for part in range(FOLDS):
        seconds[fold == part] = sample.where(fold == part).predicted(fit(sample.where(fold != part)))
    return evidence(seconds, sample.measured)


def unseen(sample: Sample) -> dict[str, Any]:
    """Evidence on chips that the fit did not see: each predicted by what the others have in common."""
    seconds = np.zeros(len(sample.columns["us"]))
    for name in sample.chips:
        mine = sample.columns["chip"] == name
        seconds[mine] = sample.where(mine).predicted(fit(sample.where(~mine)))
    return evidence(seconds, sample.measured)


def fit_all(folder: Path, source: str) -> dict[str, dict[str, dict[str, Efficiency]]]:
    """Chip → kind of kernel → format → constants with evidence, from a folder of tables.

    ``source`` says where the rows are from. Raises ``InputError`` where a table is missing or wrong.
    """
    found: dict[str, dict[str, dict[str, Efficiency]]] = {}
    for table in TABLES:
        columns = read_kernels(folder, table)
        for form in forms(table, columns):
            every = Sample(table, form, of_form(table, columns, form))
            for name in every.chips:
                _enter(found, name, every.of_chip(name), source)
            shared = every.where(~np.isin(every.columns["chip"], [*NOT_SHARED]))
            shared = shared.where(np.isin(shared.columns["chip"], shared.chips))
            if len(shared.chips) > 1:
                _enter_shared(found, shared, source)
    if (folder / "end_to_end.csv.gz").exists():
        _enter_whole(found, read_deployments(folder), source)
    if (folder / "sparse_parts.csv.gz").exists():
        _enter_search(found, choosing_floors(folder), source)
    for op, eff in _ASSUMED.items():
        found.setdefault(SHARED, {})[op] = {ANY: eff}
    return found


def _enter(found: dict[str, Any], name: str, sample: Sample, source: str) -> None:
    frameworks = ", ".join(sorted(set(sample.columns["framework"])))
    eff = dataclasses.replace(fit(sample), **held_out(sample), source=f"{source} ({frameworks})")
    found.setdefault(name, {}).setdefault(sample.table.op, {})[sample.form] = eff


def _enter_shared(found: dict[str, Any], sample: Sample, source: str) -> None:
    whole, far = fit(sample), unseen(sample)
    where = f"{source} ({', '.join(sample.chips)})"
    op, form = sample.table.op, sample.form
    shared = dataclasses.replace(whole, **far, source=where, basis=SHARED)
    apart = Efficiency(**far, basis=UNSEEN, source=f"{where}, each by the others")
    found.setdefault(SHARED, {}).setdefault(op, {})[form] = shared
    found.setdefault(UNSEEN, {}).setdefault(op, {})[form] = apart


def _enter_whole(found: dict[str, Any], rows: list[Deployed], source: str) -> None:
    """Chips of which only whole deployments are public: what the data sheet's seconds are multiplied with.

    A static batch is priced by the data sheet as it is, factor 1, which fits nothing; a server by the median
    of its framework that has the most rows, and its range is that of every framework's rows.
    """
    for name in sorted({row.chip for row in rows} - set(found)):
        mine = [(row, cost) for row, cost in priced(rows, "exact") if row.chip == name]
        ratio = np.array([r.seconds / r.per_token(c.seconds) for r, c in mine if not isinstance(c, str)])
        if not len(ratio):
            continue
        names = [row.framework for row, cost in mine if not isinstance(cost, str)]
        static = all(row.kind == STATIC for row, _ in mine)
        usual = max(sorted(set(names)), key=names.count)
        factor = 1.0 if static else float(np.median(ratio[np.array(names) == usual]))
        far = evidence(np.full(len(ratio), factor), ratio)
        # So few rows that their ends are the range.
        far |= {"low": float(ratio.min() / factor), "high": float(ratio.max() / factor)}
        what = "static decode, nothing fitted" if static else f"factor of {usual}"
        every = ", ".join(sorted(set(names)))
        eff = Efficiency(factor=factor, **far, source=f"{source} ({every}; {what})")
        found[name] = {"end_to_end": {ANY: eff}}


def _enter_search(found: dict[str, Any], floors: Mapping[str, float], source: str) -> None:
    """Floors of the launches that choose pages: assumed to be those of kernels that choose single tokens."""
    for name, floor in floors.items():
        eff = dataclasses.replace(
            _ASSUMED["search"], floor=floor, source=f"{source}: score and top-k kernels of DSA, not ours"
        )
        found.setdefault(name, {})["search"] = {ANY: eff}


def as_toml(found: Mapping[str, Mapping[str, Mapping[str, Efficiency]]], head: Sequence[str]) -> str:
    """The constants as the text of ``efficiency.toml``, under lines of comment."""
    lines = [f"# {line}".rstrip() for line in head]
    for chip, ops in found.items():
        for op, by_form in ops.items():
            for form, eff in by_form.items():
                lines += ["", f"[{chip}.{op}.{form}]"]
                lines += [
                    f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
                    for key, value in eff.to_table().items()
                ]
    return "\n".join(lines) + "\n"
