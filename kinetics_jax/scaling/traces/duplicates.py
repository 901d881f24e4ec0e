"""Samples that are there more than once under other labels, files or sources.

A copy is no second sample: four copies of one file look like four times the evidence, and turn pass@4 into
pass@1 with luck. Texts are not at hand, so a sample is known by its value: token count and outcome.
Short answers repeat values by themselves, so nothing here rests on how rare a value is:

* **Copied blocks.** Where every sample was stored k times, every value of a problem comes a multiple of k
  times. Of independent samples with v distinct values that happens with a chance of at most 2^−(v−1),
  whatever the values' chances are (for two values: an even number of each). ``_SURE`` such bits are proof.
  Where every problem has one value alone, samples are copies of one, or as good as that.
* **Copied cells.** The same holds of two cells with the same values of every problem.
* **Single copies** leave too many pairs for the number of single values and triples: for independent samples
  the expected numbers F_j of values that come j times obey F_k² ≤ c_k·F_{k−1}·F_{k+1} (Cauchy and Schwarz),
  again whatever the chances. More than 1 % of pairs beyond that are warned of.

  That takes many copies. Traces of a thousand tokens and more have smooth lengths where most are of a length
  of their own, so there equal pairs are also set against pairs that differ by 1 to 64 tokens.

Blocks and cells are deduplicated and said; single copies stay and are said with every answer.
"""

import collections
import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.scaling.traces.trials import UNKNOWN_CAP, Trials

_SURE = 20.0
"""Bits against chance before samples count as copies: one in a million."""
_NEARLY_ALL = 0.9
"""Share of problems that a copied block covers."""
_SENTENCE = 32
"""Tokens from which two independent traces differ in length more often than not."""
_LONG = 1_000
"""Tokens (median) from which lengths are smooth. Shorter traces may have a set length: those of a machine
that works step by step, say, are alike whenever they are right."""
_SINGLE = 0.6
"""Share of samples whose value is theirs alone, under which lengths are taken to be set ones."""
_DISTINCT = 0.3
"""Distinct lengths for each of up to 1,000 samples, under which likewise."""
_NEAR = 64
"""Tokens by which traces differ that chance is read from."""
_MOST_PAIRS = 0.01
"""Share of pairs beyond chance that is passed over in silence."""
_SIGMAS = 3.0
"""By how many standard deviations the counts of single copies must show it."""

Where = tuple[str, str]
"""Source and data set."""
Rows = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Copies:
    """A table without copied blocks and cells, and what is to be said of them."""

    trials: Trials
    skipped: tuple[str, ...]
    """What was left out."""
    warnings: Mapping[Where, tuple[str, ...]]
    """Source and data set → what was left out there, and what looks copied and stayed."""


@dataclasses.dataclass(frozen=True)
class _Cell:
    """Rows of one setting, problem by problem."""

    key: tuple[Any, ...]
    """Data set, source, model, policy, cap, variant, temperature."""
    problems: Mapping[str, Rows]
    name: str

    @property
    def where(self) -> Where:
        return self.key[1], self.key[0]

    @property
    def rows(self) -> Rows:
        return np.concatenate(list(self.problems.values()))


def without_copies(trials: Trials) -> Copies:
    """The table with every sample once, as far as copies can be told from what is alike by chance."""
    drop: list[Rows] = []
    said: dict[Where, list[str]] = collections.defaultdict(list)
    skipped = []
    values = _values(trials)
    cells = _cells(trials)
    for cell in cells:
        extra = _copied_blocks(trials, cell, values)
        if extra.size:
            drop.append(extra)
            text = (
                f"{cell.name}: {extra.size:,} of {cell.rows.size:,} samples repeat others of their problem, "
                f"token for token and outcome for outcome ({_files(trials, extra)}); each is counted once"
            )
            skipped.append(text)
            said[cell.where].append(text)
        elif excess := _single_copies(trials, cell, values):
            pairs, share = excess
            said[cell.where].append(
                f"{cell.name}: about {pairs:,} pairs of samples of one problem ({share:.0%} of all) have the "
                f"same length and outcome, beyond chance ({_files(trials, cell.rows)}): were some copied?"
            )
    for copy, first, alike in _copied_cells(trials, cells, values):
        drop.append(copy.rows)
        text = f"{copy.name} has the samples of {first.name} in {alike:,} of {len(copy.problems):,} problems"
        skipped.append(f"{text} ({_files(trials, copy.rows)}); left out")
        if copy.where == first.where:
            said[first.where].append(skipped[-1])
    keep = np.ones(len(trials), bool)
    for rows in drop:
        keep[rows] = False
    kept = trials.select(keep) if drop else trials
    return Copies(kept, tuple(skipped), {where: tuple(texts) for where, texts in said.items()})


def _values(trials: Trials) -> NDArray[np.int64]:
    """Token count and outcome of each row as one number."""
    return 2 * trials.generated_tokens + trials.correct


def _cells(trials: Trials) -> list[_Cell]:
    """Settings in the order of their first row; greedy ones too, for one run may be stored twice."""
    columns = (
        trials.dataset,
        trials.source,
        trials.model,
        trials.policy.tolist(),
        trials.max_tokens.tolist(),
    )
    temperatures = [None if math.isnan(t) else t for t in trials.temperature.tolist()]
    found: dict[tuple[Any, ...], dict[str, list[int]]] = {}
    for row, key in enumerate(zip(*columns, trials.variant, temperatures, strict=True)):
        found.setdefault(key, {}).setdefault(trials.problem_id[row], []).append(row)
    cells = []
    for key, problems in found.items():
        dataset, source, model, policy, cap, variant, _ = key
        label = trials.policies[policy].label
        parts = (model, label, variant, "" if cap == UNKNOWN_CAP else f"cap {cap:,}")
        name = f"{dataset} ({source}), {', '.join(part for part in parts if part)}"
        cells.append(_Cell(key, {q: np.array(rows) for q, rows in problems.items()}, name))
    return cells


def _copied_blocks(trials: Trials, cell: _Cell, values: NDArray[np.int64]) -> Rows:
    """Rows of a cell that repeat earlier ones, where whole blocks of samples were stored several times."""
    nothing = np.array([], np.int64)
    if cell.key[-1] == 0:  # greedy: samples are copies of one another by nature, and count as one
        return nothing
    ceiling = _ceiling(trials, cell)
    several: dict[str, int] = {}  # problem with several values → how often a block of them would have come
    alike: dict[str, int] = {}  # problem whose samples are all alike, and not cut at the cap → how many
    mixed, bits, alone, sampled = 0, 0, 0, 0
    for problem, rows in cell.problems.items():
        distinct, counts = np.unique(values[rows], return_counts=True)
        sampled += len(rows) > 1
        if len(distinct) == 1:
            if len(rows) > 1 and distinct[0] // 2 < ceiling:
                alike[problem] = len(rows)
                alone += (len(rows) - 1) * bool(distinct[0] // 2 >= _SENTENCE)
            continue
        mixed += 1
        factor = int(np.gcd.reduce(counts))
        if factor > 1:
            several[problem] = factor
            bits += len(distinct) - 1
    block = bits >= _SURE and len(several) >= _NEARLY_ALL * mixed
    part = bits >= _SURE + sampled  # any number of problems may be even by chance: each gives away a bit
    one = not mixed and alone >= _SURE  # a single sample, several times
    if not (block or part or one):
        return nothing
    copies = collections.Counter((several or alike).values()).most_common(1)[0][0]
    sizes = {len(cell.problems[problem]) for problem in several or alike}
    alike = {problem: count for problem, count in alike.items() if count in sizes}
    extra = []
    for problem, factor in {**several, **alike}.items():
        rows, times = cell.problems[problem], math.gcd(factor, copies)
        for value in np.unique(values[rows]):
            same = rows[values[rows] == value]
            extra.append(same[len(same) // times :])
    return np.concatenate(extra)


def _ceiling(trials: Trials, cell: _Cell) -> int:
    """Token count from which a trace may have been cut: equal counts there are no coincidence."""
    cap = cell.key[4]
    return int(trials.generated_tokens[cell.rows].max()) if cap == UNKNOWN_CAP else int(cap)


def _single_copies(trials: Trials, cell: _Cell, values: NDArray[np.int64]) -> tuple[int, float] | None:
    """Pairs of equal samples beyond chance and their share of all pairs; None where there are few."""
    if cell.key[-1] == 0:
        return None
    found = [_more_than_any_chances(cell, values), _more_than_near_ones(trials, cell, values)]
    beyond, pairs = max(found, key=lambda one: one[0] / max(one[1], 1))
    share = beyond / max(pairs, 1)
    return (round(beyond), share) if share > _MOST_PAIRS else None


def _more_than_near_ones(trials: Trials, cell: _Cell, values: NDArray[np.int64]) -> tuple[float, int]:
    """Equal pairs beyond those that differ a little, for long traces; and all pairs with one outcome."""
    ceiling = _ceiling(trials, cell)
    lengths = values[cell.rows] // 2
    few = np.unique(lengths).size < _DISTINCT * min(len(lengths), 1_000)
    if few or np.median(lengths) < _LONG:
        return 0.0, 0
    near, pairs, single = np.zeros(_NEAR + 1), 0, 0
    for rows in cell.problems.values():
        single += int((np.unique(values[rows], return_counts=True)[1] == 1).sum())
        for outcome in (0, 1):
            tokens = values[rows[values[rows] % 2 == outcome]] // 2
            tokens = tokens[tokens < ceiling]
            apart = np.abs(tokens[:, None] - tokens)[np.triu_indices(len(tokens), 1)]
            near += np.bincount(apart[apart <= _NEAR], minlength=_NEAR + 1)
            pairs += len(apart)
    if single < _SINGLE * len(lengths):
        return 0.0, 0
    chance = near[1:].max() / 2  # a difference has two signs, none has one
    doubt = _SIGMAS * (math.sqrt(near[0]) + math.sqrt(chance)) + 1.0
    return near[0] - chance - doubt, pairs


def _more_than_any_chances(cell: _Cell, values: NDArray[np.int64]) -> tuple[float, int]:
    """Equal pairs beyond what any distribution gives for as many single values and triples; and all pairs."""
    sizes = collections.Counter(len(rows) for rows in cell.problems.values())
    samples, problems = sizes.most_common(1)[0]
    if samples < 3:
        return 0.0, 0
    times = np.zeros(samples + 2)
    for rows in cell.problems.values():
        if len(rows) == samples:
            times += np.bincount(np.unique(values[rows], return_counts=True)[1], minlength=samples + 2)
    beyond = 0.0
    for k in range(2, min(samples, 5)):
        constant = (k + 1) / k * (samples - k + 1) / (samples - k)
        few, many = (times[j] + _SIGMAS * math.sqrt(times[j]) + 1.0 for j in (k - 1, k + 1))
        least = times[k] - _SIGMAS * math.sqrt(times[k])
        beyond = max(beyond, (least - math.sqrt(constant * few * many)) * math.comb(k, 2))
    return beyond, problems * math.comb(samples, 2)


def _copied_cells(
    trials: Trials, cells: Sequence[_Cell], values: NDArray[np.int64]
) -> list[tuple[_Cell, _Cell, int]]:
    """Cells that have the samples of an earlier one: (copy, first, problems alike).

    Only cells of one data set, policy and cap are compared: one run may be cut at several caps, and policies
    under one seed draw alike as long as all is read.
    """
    holders: dict[tuple[Any, ...], list[int]] = collections.defaultdict(list)
    weights: dict[tuple[Any, ...], float] = {}
    for index, cell in enumerate(cells):
        dataset, _, _, policy, cap, *_ = cell.key
        for problem, code, bits in _codes(trials, cell, values):
            key = (dataset, policy, cap, problem, code)
            holders[key].append(index)
            weights[key] = bits
    equal: dict[tuple[int, int], list[float]] = collections.defaultdict(list)
    for key, indices in holders.items():
        for pair in itertools.combinations(indices, 2):
            equal[pair].append(weights[key])
    found: dict[int, tuple[_Cell, _Cell, int]] = {}
    for (first, copy), against in sorted(equal.items()):
        enough = len(against) >= _NEARLY_ALL * len(cells[copy].problems) and sum(against) >= _SURE
        if enough and first not in found:
            found.setdefault(copy, (cells[copy], cells[first], len(against)))
    return list(found.values())


def _codes(trials: Trials, cell: _Cell, values: NDArray[np.int64]) -> Iterator[tuple[str, bytes, float]]:
    """Problem, the values of its samples in order, and how many bits against chance their return is."""
    ceiling = _ceiling(trials, cell)
    for problem, rows in cell.problems.items():
        ordered = np.sort(values[rows])
        distinct = np.unique(ordered)
        open_ended = (distinct // 2 < ceiling) & (distinct // 2 >= _SENTENCE)
        yield problem, ordered.tobytes(), max(len(distinct) - 1.0, float(open_ended.any()))


def _files(trials: Trials, rows: Rows, most: int = 3) -> str:
    """The files that rows are from."""
    if not trials.inputs:
        return "no file"
    names = [os.path.basename(trials.inputs[i].path) for i in np.unique(trials.file[rows])]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
