"""What can be had without an oracle, for ``law.json`` and for the page."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.law.selection_results import SelectionResult, WithoutOracle

_ACCURACY = "share of questions answered right, in [0, 1]"
_STOPPING_UNITS = {
    "trials": "samples at most",
    "fixed_solved": _ACCURACY,
    "fixed_cost": "",
    "solved": _ACCURACY,
    "cost": "",
    "drawn": "samples per question",
    "saved": "share of the cost per solved question",
    "setting": "accepted: prices of a sample; majority: probability",
}
CHOICES = {"question": "each question its own", "shared": "one for all"}
"""Of a configuration, in words."""
_COLUMNS = 4


class SelectionTable(NamedTuple):
    """Rows for a page."""

    costs: tuple[float, ...]
    """Limits per question, as the law's are shown."""
    rows: tuple[tuple[SelectionResult, tuple[int, ...]], ...]
    """A selection with its grid points, one a cost."""


def plain(found: WithoutOracle, unit: str) -> dict[str, Any]:
    """As data; the arrays are on the law's grid of costs, whose unit is given."""
    cost = f"{unit} per question"
    return {
        "selections": [_selection(selection) for selection in found.selections],
        "stopping": [dataclasses.asdict(rule) for rule in found.stopping],
        "stopping_units": {
            name: cost if name.endswith("cost") else of for name, of in _STOPPING_UNITS.items()
        },
        "left_out": found.left_out,
    }


def _selection(one: SelectionResult) -> dict[str, Any]:
    return {
        "verifier": one.verifier,
        "choice": one.choice,
        "flavour": one.flavour,
        "accuracy": {"unit": _ACCURACY, "values": one.accuracy, "low": one.low, "high": one.high},
        "model": one.model,
        "optima": {
            "trials": {"unit": "trials", "values": one.trials},
            "length": {"unit": "tokens", "values": one.length},
        },
    }


def selection_table(law: Law) -> SelectionTable | None:
    """A few costs from where anything is solved to the end; None where there is nothing to show."""
    found = law.without_oracle
    if found is None or not found.selections:
        return None
    most = np.max([np.nan_to_num(one.accuracy) for one in found.selections], axis=0)
    usable = np.flatnonzero(most > 0)
    if not usable.size:
        return None
    at = usable[np.unique(np.linspace(0, len(usable) - 1, _COLUMNS + 1).astype(int))][1:].tolist()
    return SelectionTable(
        tuple(float(law.shown[g]) for g in at), tuple((one, tuple(at)) for one in found.selections)
    )
