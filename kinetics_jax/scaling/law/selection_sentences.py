"""What can be had without an oracle, in words."""

from kinetics_jax.scaling.law.choices import source_name
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.law.selection_results import SelectionResult

AS_GOOD = 0.01
"""Accuracy that a rule may lose on fresh questions to be named."""
_PICKS = {"perfect": "a perfect verifier", "majority": "a majority vote"}


def oracle_sentences(law: Law) -> list[str]:
    """What is solved at the dearest cost, by who picks the answer; none where nothing was computed.

    The first figure is what the law's own sentence assumes; the others are what takes its place in use.
    """
    found = law.without_oracle
    if found is None or not found.selections:
        return []
    own, shared = found.get("perfect", "question"), found.get("perfect", "shared")
    parts = []
    if own is not None and shared is not None:
        parts.append(
            f"with a perfect verifier and a configuration for each question {_solved(own)}, with one "
            f"configuration for all questions {_solved(shared)}"
        )
    elif shared is not None:
        parts.append(f"with a perfect verifier and one configuration for all questions {_solved(shared)}")
    others = [s for s in found.selections if s.choice == "shared" and not s.verifier.startswith("perfect")]
    parts += [f"with {_PICKS.get(s.verifier, s.verifier)} and one for all {_solved(s)}" for s in others]
    said = []
    if parts:
        where = f"{law.dataset} ({source_name(law)})"
        said.append(f"Without an oracle, {where}, at the dearest cost: {'; '.join(parts)}.")
    as_good = [rule for rule in found.stopping if rule.low > 0 and rule.solved > rule.fixed_solved - AS_GOOD]
    saving = max(as_good, key=lambda rule: rule.saved, default=None)
    if saving is not None:
        said.append(
            f"Stopping early ({saving.rule}, at most {saving.trials} samples of {saving.model}) saves "
            f"{saving.saved:.0%} [{saving.low:.0%}–{saving.high:.0%}] of the cost per solved question "
            f"against {saving.trials} samples for all, on questions that did not set the rule."
        )
    return said


def _solved(one: SelectionResult) -> str:
    return f"{one.accuracy[-1]:.0%} [{one.low[-1]:.0%}–{one.high[-1]:.0%}] at N = {one.trials[-1]:.2g}"
