"""The whole falsehood suite: ``python -m tests.scaling.falsehood --repeats=8 --out=falsehood.json``."""

import argparse
import dataclasses
import json
import time

from tests.scaling.falsehood.judging import judge_all, tally
from tests.scaling.falsehood.scenarios import DESIGNS


def main() -> None:
    """Judge every design, print a table, write everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=8, help="data sets a design")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--out", help="JSON file to write")
    flags = parser.parse_args()
    start = time.monotonic()
    outcomes = []
    for one in judge_all(DESIGNS, flags.repeats, flags.seed):
        outcomes.append(one)
        if one.false:
            true = ", ".join(one.true) or "nothing"
            print(f"false: {one.claim} {one.verdict}, true {true}: {one.design}, seed {one.seed}", flush=True)
    table = tally(outcomes)
    for claim, row in table.items():
        print(f"{claim:10}", *(f"{name} {value:.3g}," for name, value in row.items()))
    sets = len(DESIGNS) * flags.repeats
    print(f"{sets} data sets of {len(DESIGNS)} designs in {time.monotonic() - start:.0f} s")
    if flags.out:
        everything = {
            "data_sets": sets,
            "claims": table,
            "outcomes": [dataclasses.asdict(o) for o in outcomes],
        }
        with open(flags.out, "w", encoding="utf-8") as stream:
            json.dump(everything, stream, indent=1)


if __name__ == "__main__":
    main()
