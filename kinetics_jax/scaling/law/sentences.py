"""Laws in words: what to run at which cost; ``paper_claims`` says which of the paper's claims hold.

Every sentence is made from numbers of the results and their intervals; nothing is said that was not found.
"""

from collections.abc import Sequence

from kinetics_jax.scaling.law.choices import cost_text, priced_on, settled, source_name
from kinetics_jax.scaling.law.deployment_words import priced_for
from kinetics_jax.scaling.law.left_out_sentences import left_out_sentences
from kinetics_jax.scaling.law.results import FrontierResult, Law
from kinetics_jax.scaling.law.selection_sentences import oracle_sentences
from kinetics_jax.scaling.law.sparse_sentences import measured, projected
from kinetics_jax.scaling.law.which_model import which_model

VERIFIER = (
    "A question counts as solved if any of its N trials is right, which takes a perfect verifier to use."
)
"""What pass@N assumes."""


def answers(laws: Sequence[Law]) -> tuple[str, ...]:
    """Sentences family by family, families of several sizes first.

    A family has one for its first chip, one for all other chips together, and one for a projection. The
    first of all says which verifier is assumed.
    """
    families: dict[tuple[str, str], list[Law]] = {}
    for law in laws:
        families.setdefault((law.dataset, law.source), []).append(law)
    ordered = sorted(families.values(), key=lambda group: len(set(group[0].sizes)) < 2)
    said = [sentence for group in ordered for sentence in _family_answers(group)]
    if any((law.best_frontier.trials > 1).any() for law in laws):
        said[0] += f" {VERIFIER}"
    return tuple(said)


def _family_answers(laws: Sequence[Law]) -> list[str]:
    real = [law for law in laws if not law.projected_policy]
    where = f"{laws[0].dataset} ({laws[0].questions} questions, {source_name(laws[0])})"
    said = [
        f"On {priced_on(law)}, {where}: {_answer(law)}.{_beware(law)}{priced_for(law)}" for law in real[:1]
    ]
    if real[1:]:
        others = "; ".join(f"on {priced_on(law)} {which_model(law)}" for law in real[1:])
        said.append(f"The same law, {laws[0].dataset} ({source_name(laws[0])}), {others}.")
    said += [sentence for law in real[:1] for sentence in oracle_sentences(law)]
    said += [measured(law) for law in real[:1] if law.sparse is not None]
    said += [sentence for law in real[:1] for sentence in left_out_sentences(law)]
    said += [f"On {priced_on(law)}, {where}: {projected(law, real)}" for law in laws if law.projected_policy]
    return said


def _answer(law: Law) -> str:
    frontier, end = law.best_frontier, settled(law)
    if not frontier.bands:
        return "nothing is solved at any cost"
    reached = float(frontier.accuracy[-1])
    return (
        f"{which_model(law)}; the most these traces show is {reached:.0%} "
        f"[{frontier.low[-1]:.0%}–{frontier.high[-1]:.0%}], at about {cost_text(law, law.costs[end])} per "
        f"question ({_recipe(frontier, end)})"
    )


def _beware(law: Law) -> str:
    """What was not compared, and samples that repeat one another."""
    said = [f" Not all {what} could be compared: {why}." for what, why in law.not_comparable.items()]
    return "".join([*said, *(f" Beware: {warning}." for warning in law.warnings)])


def _recipe(frontier: FrontierResult, at: int) -> str:
    """Trials, length and KV budget of the best choice at a cost: means over questions."""
    trials = float(frontier.trials[at])
    parts = [f"{trials:.2g} trial{'s' * (trials != 1)}", f"of up to {frontier.length[at]:,.0f} tokens"]
    if frontier.dense_share[at] < 1:
        parts.append(
            f"{1 - frontier.dense_share[at]:.0%} sparse with a KV budget of {frontier.kv_budget[at]:,.0f}"
        )
    return ", ".join((" ".join(parts[:2]), *parts[2:]))
