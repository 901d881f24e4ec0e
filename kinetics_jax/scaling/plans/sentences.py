"""A plan in words and as JSON."""

from typing import Any

from kinetics_jax.scaling.plans.plan import GRID_TRIALS, Answer, Plan, more_trials
from kinetics_jax.scaling.plans.power import Design


def plan_text(plan: Plan, *, usd_per_hour: float | None) -> str:
    """What can be answered, what is run and what it costs, a paragraph a contrast."""
    parts = [_paragraph(plan, answer, usd_per_hour) for answer in plan.answers]
    assumed = dict.fromkeys(note for answer in plan.answers for note in answer.contrast.assumed)
    parts += [f"assumed: {note}" for note in assumed]
    if sum(answer.run is not None for answer in plan.answers) > 1:
        parts.append("samples of an arm that serve two comparisons are counted in each")
    parts.append(f"to run, in all: {_price(plan.seconds, usd_per_hour)}")
    return "\n".join(parts)


def plan_data(plan: Plan, *, usd_per_hour: float | None) -> dict[str, Any]:
    """The same as data for JSON; differences and intervals are shares (0…1), prices chip-seconds."""
    return {
        "detect": plan.question.detect,
        "power": plan.question.power,
        "questions": plan.question.questions,
        "budget_chip_seconds": plan.question.seconds,
        "usd_per_hour": usd_per_hour,
        "chip_seconds": plan.seconds,
        "contrasts": [_answer_data(answer) for answer in plan.answers],
    }


def _paragraph(plan: Plan, answer: Answer, usd: float | None) -> str:
    contrast, question = answer.contrast, plan.question
    lines = [f"{contrast.label}:"]
    if contrast.difference is not None and contrast.half_width is not None:
        sign = "+" if len(contrast.arms) > 1 else ""
        now = f"now {100 * contrast.difference:{sign}.1f} ± {100 * contrast.half_width:.1f} points"
        lines.append(
            f"  {now} from {contrast.questions} questions" + ("; decided" if contrast.decided else "")
        )
    if answer.needed and question.detect:
        wanted = f"{100 * question.detect:g} points"
        if question.questions and answer.visible and answer.visible > question.detect:
            lines.append(
                f"  cannot tell {wanted}: {question.questions} questions show {100 * answer.visible:.1f} "
                f"points at best, however many trials; {wanted} need more than {answer.needed:,} questions"
            )
        elif answer.cheapest is None:
            lines.append(
                f"  {wanted} need more than {answer.needed:,} questions, or more trials than are considered"
            )
        else:
            lines.append(
                f"  {wanted} take {_design(answer.cheapest)}: {_price(answer.cheapest.seconds, usd)}"
            )
    if answer.run:
        cost = _price(answer.new_seconds, usd) + (" beyond the pilot" if contrast.questions else "")
        lines.append(f"  run {_design(answer.run)}: ± {100 * answer.run.half_width:.1f} points, {cost}")
        lines.append(f"  {_grid(answer, question.questions)}")
    elif not contrast.decided:
        lines.append(
            "  not run: " + ("the budget ends before it" if question.seconds else "no budget was given")
        )
    return "\n".join(lines)


def _answer_data(answer: Answer) -> dict[str, Any]:
    contrast, run = answer.contrast, answer.run
    arms = []
    for i, arm in enumerate(contrast.arms):
        trials = run.trials[i] if run else 0
        arms.append(
            {
                "model": arm.model,
                "policy": arm.policy,
                "cap": arm.cap,
                "accuracy": arm.accuracy,
                "within_variance": arm.within,
                "chip_seconds_per_sample": arm.seconds,
                "trials": trials,
                "more_trials_of_pilot_questions": more_trials(arm, run, trials) if run else {},
            }
        )
    return {
        "arms": arms,
        "between_variance": contrast.between,
        "difference": contrast.difference,
        "half_width": contrast.half_width,
        "decided": contrast.decided,
        "questions_needed": answer.needed,
        "smallest_visible": answer.visible,
        "questions": run.questions if run else 0,
        "new_questions": max(run.questions - contrast.questions, 0) if run else 0,
        "samples": run.samples if run else 0,
        "expected_half_width": run.half_width if run else None,
        "detects": run.detects if run else None,
        "chip_seconds": answer.new_seconds,
    }


def _grid(answer: Answer, questions: int | None) -> str:
    """What a grid of equal samples takes for the same interval."""
    if answer.run is None or answer.grid is None:
        return ""
    if questions and answer.grid.questions > questions:
        return f"no grid of {GRID_TRIALS} trials has that interval with {questions:,} questions"
    share = answer.run.samples / answer.grid.samples
    grid = f"a grid of {GRID_TRIALS} trials has it with {answer.grid.questions:,} questions"
    return f"{grid} and {answer.grid.samples:,} samples; this takes {share:.0%} of them"


def _design(design: Design) -> str:
    trials = " and ".join(map(str, design.trials))
    word = "trial" if design.trials == (1,) else "trials"
    return f"{design.questions:,} questions with {trials} {word} each, {design.samples:,} samples"


def _price(seconds: float, usd: float | None) -> str:
    hours = f"{seconds / 3600:,.3g} chip-hours"
    return hours if usd is None else f"{hours}, ${seconds / 3600 * usd:,.2f}"
