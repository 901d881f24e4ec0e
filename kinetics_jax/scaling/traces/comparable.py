"""Which traces may stand on one frontier: one source, one data set, questions in common, sides matched.

Different sources grade, prompt and sample differently, so their accuracies are not comparable; a cell
that covers few of the questions would shrink everyone's; ``matched`` sees to caps, temperatures and trials,
``duplicates`` to samples that were stored twice. What is left out is listed with its reason.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from kinetics_jax.policies import UnknownPolicy
from kinetics_jax.scaling.traces.duplicates import without_copies
from kinetics_jax.scaling.traces.independent_trials import Cell, group_cells
from kinetics_jax.scaling.traces.matched import apart_by_source, match_sides
from kinetics_jax.scaling.traces.trials import Trials
from kinetics_jax.shapes import ModelConfig


@dataclasses.dataclass(frozen=True)
class Family:
    """Cells that may be compared, on the questions that all of them have."""

    source: str
    dataset: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    """What a reader must know before believing what follows from them."""
    warnings: tuple[str, ...] = ()
    """Samples that repeat one another: said with every answer."""
    not_comparable: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """``sizes`` or ``policies`` → why some of these were left out, such as two temperatures."""

    @property
    def models(self) -> tuple[str, ...]:
        """Distinct models, smallest first."""
        return tuple(sorted(self.shapes, key=lambda name: (self.shapes[name].total_params, name)))

    @property
    def shapes(self) -> dict[str, ModelConfig]:
        """Model → shape."""
        return {cell.model: cell.shape for cell in self.cells if cell.shape is not None}

    @property
    def num_sizes(self) -> int:
        """Distinct model sizes: what a law about size needs at least two of."""
        return len({shape.total_params for shape in self.shapes.values()})

    @property
    def num_samples(self) -> int:
        """Samples of all cells together."""
        return sum(int(cell.samples.sum()) for cell in self.cells)


def comparable_families(
    trials: Trials, *, min_questions: int = 10, min_coverage: float = 0.8
) -> tuple[list[Family], list[str]]:
    """Families of a trials table, those of most sizes and samples first, and why anything was left out.

    Args:
      trials: prompt lengths filled in.
      min_questions: families with fewer common questions are left out.
      min_coverage: a cell that has less than this share of the family's questions is left out.
    """
    by_key: dict[tuple[str, str], list[Cell]] = {}
    copies = without_copies(trials)
    for cell in group_cells(copies.trials):
        by_key.setdefault((cell.source, cell.dataset), []).append(cell)
    families, skipped = [], list(copies.skipped)
    apart = apart_by_source([cell for cells in by_key.values() for cell in cells])
    for (source, dataset), cells in by_key.items():
        where = f"{dataset} ({source})"
        known = [c for c in cells if c.shape and not isinstance(c.policy, UnknownPolicy)]
        if unknown := sorted({cell.model for cell in cells if not cell.shape}):
            skipped.append(f"{where}: no shape is known for {', '.join(unknown)}")
        policies = dict.fromkeys(cell.policy for cell in cells)
        skipped += [f"{where}: {p.refusal}" for p in policies if isinstance(p, UnknownPolicy)]
        if not known:
            continue
        covering, thin = _covering(known, min_coverage)
        skipped += [
            f"{where}: {cell.label} has {len(cell.questions)} questions, too few of the family's"
            for cell in thin
        ]
        common = set(covering[0].questions).intersection(*(cell.questions for cell in covering))
        if len(common) < min_questions:
            skipped.append(f"{where}: {len(common)} common questions, fewer than {min_questions}")
            continue
        questions = tuple(q for q in covering[0].questions if q in common)
        matched = match_sides([cell.restrict(questions) for cell in covering])
        skipped += [f"{where}: {reason}" for reason in matched.skipped]
        warnings = copies.warnings.get((source, dataset), ())
        notes = (*warnings, *matched.notes, *_notes(matched.cells))
        different = {**apart.get((source, dataset), {}), **matched.not_comparable}
        families.append(Family(source, dataset, matched.cells, notes, warnings, different))
    families.sort(key=lambda family: (-family.num_sizes, -family.num_samples))
    return families, skipped


def _covering(cells: Sequence[Cell], share: float) -> tuple[list[Cell], list[Cell]]:
    """Cells with at least ``share`` of the questions that any cell has, and the others."""
    everything = set().union(*(cell.questions for cell in cells))
    enough = [len(cell.questions) >= share * len(everything) for cell in cells]
    if not any(enough):
        most = max(len(cell.questions) for cell in cells)
        enough = [len(cell.questions) >= share * most for cell in cells]
    kept = [cell for cell, fits in zip(cells, enough, strict=True) if fits]
    return kept, [cell for cell, fits in zip(cells, enough, strict=True) if not fits]


def _notes(cells: Sequence[Cell]) -> tuple[str, ...]:
    notes = []
    fewest = min(cell.max_trials for cell in cells)
    if fewest == 1:
        notes.append(
            "one independent sample per question in some cell (greedy, or a single run): no pass@N, "
            "and one configuration is chosen for all questions"
        )
    if len({cell.shape.total_params for cell in cells if cell.shape}) == 1:
        notes.append("one model size: this law is about trials and length, not about size")
    if all(cell.policy.kv_budget is None for cell in cells):
        notes.append("every trace was decoded with dense attention")
    if any(cell.max_tokens is None for cell in cells):
        notes.append("the generation cap of some runs is not recorded")
    return tuple(notes)
