"""A study whose answers are picked by somebody who does not know them: same configurations, other scores.

Axes: Q questions · C configurations · S samples of a question.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.frontier.configurations import Estimates, Floats, PricedCell
from kinetics_jax.scaling.frontier.study import Study
from kinetics_jax.scaling.selection.verifiers import Outcomes, Verifier
from kinetics_jax.scaling.traces.answers import NO_ANSWER
from kinetics_jax.scaling.traces.independent_trials import Cell

ReaderPrice = Callable[[str, Floats], Floats]
"""Model, tokens read (of any shape) → what reading them costs, in the study's unit."""
CONTRADICTED = 0.05
"""Share of samples whose answer is right and wrong at once, from which grades are not of the answers."""


@dataclasses.dataclass(frozen=True, eq=False)
class JudgedCell(PricedCell):
    """A cell of which a verifier picks the answers."""

    verifier: Verifier
    cell: Cell

    def estimate(self, chosen_qs: np.ndarray, *, shrink: bool) -> Estimates:
        """As ``PricedCell``, with the verifier's accuracy in place of pass@N."""
        base = super().estimate(chosen_qs, shrink=False)
        right = (self.solved_qcs @ chosen_qs[:, :, None].astype(np.float64))[..., 0]
        cut_c = np.array([np.inf if s.length is None else float(s.length) for s in self.settings])
        answers = None
        if self.cell.answers is not None:
            ended = self.cell.generated_tokens[:, None, :] <= cut_c[:, None]
            answers = np.where(ended, self.cell.answers[:, None, :], NO_ANSWER)
        seen = Outcomes(
            n_q=chosen_qs.sum(axis=1),
            c_qc=np.rint(right).astype(np.int64),
            trials_c=np.array([setting.trials for setting in self.settings]),
            answer_qcs=answers,
            correct_qs=self.cell.correct,
            chosen_qs=chosen_qs,
        )
        accuracy, merit = self.verifier.score(seen, shrink=shrink)
        return base._replace(coverage=accuracy, merit=merit)


def judged_study(
    study: Study, cells: Sequence[Cell], verifier: Verifier, reader_price: ReaderPrice | None = None
) -> Study:
    """The same configurations with a verifier's accuracy and its cost on top.

    Args:
        study: of ``cells``, as ``build_study`` made it.
        cells: in the same order.
        verifier: who picks.
        reader_price: what a ``reader`` costs; needed where the verifier has one.

    Raises:
        InputError: cells that are not the study's, answers that a vote needs and that are not recorded, or
            no price for a reader.
    """
    if len(cells) != len(study.cells):
        raise InputError(f"{len(cells)} cells for a study of {len(study.cells)}: give those it was built of")
    if verifier.needs_answers and (why := why_no_vote(cells)):
        raise InputError(why)
    parts = []
    for priced, given in zip(study.cells, cells, strict=True):
        cell = given.restrict(study.questions)
        if verifier.reader:
            if reader_price is None:
                raise InputError(f"{verifier.label}: no price for reading with {verifier.reader}")
            trials_c = np.array([setting.trials for setting in priced.settings])
            read = reader_price(verifier.reader, cell.prompt_tokens[:, None, None] + priced.tokens_qcs)
            cost = priced.cost_qcs + trials_c[:, None] * read
        else:
            cost = priced.cost_qcs * (1.0 + verifier.cost)
        fields = {field.name: getattr(priced, field.name) for field in dataclasses.fields(PricedCell)}
        parts.append(JudgedCell(**fields | {"cost_qcs": cost}, verifier=verifier, cell=cell))
    return dataclasses.replace(study, cells=tuple(parts))


def why_no_vote(cells: Sequence[Cell]) -> str:
    """Why answers of these cells cannot be counted, in one line; empty where they can."""
    for cell in cells:
        if cell.answers is None:
            return f"no majority vote: {cell.label} does not record the answer of every sample"
        share = _contradicted(cell)
        if share > CONTRADICTED:
            return (
                f"no majority vote: {cell.label} grades {share:.0%} of its samples right and wrong for one "
                "answer, so its grades are of more than the answers"
            )
    return ""


def _contradicted(cell: Cell) -> float:
    """Share of the samples that are graded unlike most of those with the same answer to the same question."""
    assert cell.answers is not None
    odd = 0
    for answers, correct in zip(cell.answers, cell.correct, strict=True):
        voted = answers != NO_ANSWER
        counts = np.bincount(answers[voted])
        right = np.bincount(answers[voted], weights=correct[voted])
        odd += int(np.minimum(right, counts - right).sum())
    return odd / max(int(cell.samples.sum()), 1)
