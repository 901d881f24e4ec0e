"""How well what was not run is said from what was, in words."""

from kinetics_jax.scaling.law.choices import source_name
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.prediction import LeftOut, error_of

_AXES = {"size": "size", "kv_budget": "KV budget"}


def left_out_sentences(law: Law) -> list[str]:
    """One sentence an axis that has settings enough; none where nothing could be left out."""
    where = f"{law.dataset} ({source_name(law)})"
    return [
        f"Saying a {name} from the others, {where}: {_errors(found)}."
        for axis, name in _AXES.items()
        if (found := [one for one in law.left_out if one.axis == axis])
    ]


def _errors(found: list[LeftOut]) -> str:
    """Errors of settings between others and beyond them, beside those of the nearest setting."""
    parts = []
    for inside, name in ((True, "between others"), (False, "beyond the others")):
        chosen = [one for one in found if one.inside == inside]
        if chosen:
            parts.append(
                f"{name} it misses the accuracy of one sample by {error_of(chosen):.1f} points (the nearest "
                f"one: {error_of(chosen, of_nearest=True):.1f}), root mean square of {len(chosen)}"
            )
    return "; ".join(parts)
