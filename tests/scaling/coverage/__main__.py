"""Coverage of every printed interval, by simulation: ``python -m tests.scaling.coverage --draws=100``.

Writes JSON and, with ``--figure``, a drawing: one row a kind of interval, one dot a design.
"""

import argparse
import json
import multiprocessing
import sys
from pathlib import Path

from tests.scaling.coverage.measure import MANY, coverage
from tests.scaling.coverage.populations import DESIGNS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scaling.coverage", description=__doc__)
    parser.add_argument("--draws", type=int, default=100, help="sets of questions drawn from each population")
    parser.add_argument("--resamples", type=int, default=300, help="of each law")
    parser.add_argument("--designs", default=",".join(DESIGNS), help="names, separated by commas")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, default=Path("coverage.json"))
    parser.add_argument("--figure", type=Path, help="SVG or PNG to draw")
    given = parser.parse_args()
    names = given.designs.split(",")
    if unknown := [name for name in names if name not in DESIGNS]:
        parser.error(f"no design {unknown[0]!r}; there are {', '.join(DESIGNS)}")
    tasks = [(DESIGNS[name], given.draws, given.resamples) for name in names]
    with multiprocessing.Pool(given.jobs) as pool:
        found = dict(zip(names, pool.starmap(coverage, tasks, chunksize=1), strict=True))
    document = {
        "level": 0.95,
        "draws": given.draws,
        "resamples": given.resamples,
        "questions_of_the_truth": MANY,
        "designs": found,
    }
    given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, kinds in found.items():
        for kind, row in kinds.items():
            width = "no bound" if row["median_width"] is None else f"{row['median_width']:.3g}"
            print(f"{name:15} {kind:22} {row['covered']:5.0%} of {row['printed']:5}, median width {width}")
    if given.figure:
        draw(found, given.figure)
    return 0


def draw(found: dict[str, dict[str, dict]], path: Path) -> None:
    """One row a kind of interval, one dot a design, the promise as a line."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(kind for rows in found.values() for kind in rows))
    figure, axes = plt.subplots(figsize=(7, 0.4 * len(kinds) + 1.2), layout="constrained")
    axes.axvspan(0.93, 0.97, color="0.9")
    axes.axvline(0.95, color="0.6", linewidth=1)
    for name, rows in found.items():
        at = [(rows[kind]["covered"], kinds.index(kind)) for kind in kinds if kind in rows]
        axes.plot(*zip(*at, strict=True), "o", alpha=0.6, markersize=5, label=name)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set_xlim(0.4, 1.01)
    axes.set_xlabel("share of 95 % intervals that cover the population's value")
    axes.legend(fontsize=6, loc="lower left")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    sys.exit(main())
