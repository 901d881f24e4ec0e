"""What to run to answer a question with a given interval: ``kinetics plan --usd=100 --detect=2points``.

From pilot samples (``--traces``) by their variance between and within questions; without, from assumptions
that are printed, for ``--models`` and ``--policies``. Says when a benchmark cannot tell, however many trials.
"""

import json
import math
import re

from kinetics_jax import storage
from kinetics_jax.chips import PRICE_BASES, priced_chips
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.costs import Chip
from kinetics_jax.errors import InputError
from kinetics_jax.policies import parse_policy
from kinetics_jax.report.tables import plain
from kinetics_jax.scaling import Family, comparable_families, read_trials
from kinetics_jax.scaling.frontier import LENGTHS
from kinetics_jax.scaling.law.price_evidence import shape_evidence
from kinetics_jax.scaling.law.without_traces import QWEN3, SPARSE
from kinetics_jax.scaling.plans import (
    Contrast,
    Question,
    assumed_arms,
    assumed_contrasts,
    make_plan,
    pilot_arms,
    pilot_contrasts,
)
from kinetics_jax.scaling.plans.arms import shortest_cap
from kinetics_jax.scaling.plans.assumed import TOKENS
from kinetics_jax.scaling.plans.sentences import plan_data, plan_text

flags = Flags()
_UNASKED = 0.01
"""Difference for which answers are cut, where none is asked about."""
flags.group("what is asked")
_DETECT = flags.DEFINE_string("detect", "", "Difference of accuracies to detect, in points: 2points.")
_POWER = flags.DEFINE_float("power", 0.8, "Chance to detect it, with a 95 % interval.")
_USD = flags.DEFINE_float("usd", None, "Dollars to spend.", lower_bound=0.0)
_HOURS = flags.DEFINE_float("chip_hours", None, "Chip-hours to spend, instead.", lower_bound=0.0)
_CHIP = flags.DEFINE_string(
    "chip", "b200", "Chip to price on: a name of kinetics_jax.chips, or a .toml file."
)
_PER_HOUR = flags.DEFINE_float(
    "usd_per_hour", None, "Your price of a chip-hour; that of price_basis unless given."
)
_BASIS = flags.DEFINE_enum("price_basis", "list", list(PRICE_BASES), "The market that dollars are of.")
_QUESTIONS = flags.DEFINE_integer(
    "questions", 0, "Questions that the benchmark has; 0: those of the pilot, without a pilot any number."
)
flags.group("pilot samples")
_TRACES = flags.DEFINE_list("traces", [], "Files of samples, as kinetics law reads them.")
_DATASETS = flags.DEFINE_string("datasets", "", "Regular expression of data sets to take; '' takes all.")
_SOURCES = flags.DEFINE_string("sources", "", "Regular expression of sources to take; '' takes all.")
_ARMS = flags.DEFINE_string(
    "arms", "", "Regular expression of arms (model and policy) to take; '' takes all."
)
_PROMPT = flags.DEFINE_integer("default_prompt_tokens", 200, "Prompt length of rows that record none.")
flags.group("without pilot samples")
_MODELS = flags.DEFINE_list("models", ["qwen3-8b"], "Models to compare.")
_POLICIES = flags.DEFINE_string(
    "policies", "dense; block_topk(16, 64)", "Policies to compare, between semicolons."
)
_TOKENS = flags.DEFINE_integer("tokens", TOKENS, "Tokens of an answer.", lower_bound=1)
flags.group("output")
_JSON = flags.DEFINE_string(
    "json", "", "File to write the plan to as JSON, with samples of every pilot question."
)

_OF_PILOT = ("datasets", "sources", "arms", "default_prompt_tokens")
_ASSUMED = ("models", "policies", "tokens")


def main(_: list[str]) -> None:
    """Plan, say it, and write it down where that was asked for."""
    file = storage.output_file(_JSON.value, "--json") if _JSON.value else None
    _refuse_unread()
    given = _PER_HOUR.value
    if given is not None and not 0 < given < math.inf:
        raise InputError(f"--usd_per_hour={given} must be a number above 0")
    (chip,) = priced_chips([_CHIP.value], _BASIS.value, given)
    usd = chip.usd_per_hour
    detect, seconds = _detect(_DETECT.value), _seconds(chip, usd)
    if detect is None and seconds is None:
        raise InputError("give --detect=2points, a budget (--usd=100 or --chip_hours=30), or both")
    contrasts = _pilot(chip, detect) if _TRACES.value else _assumed(chip)
    questions = _QUESTIONS.value or contrasts[0].questions or None
    plan = make_plan(contrasts, Question(detect, seconds, questions, _POWER.value))
    (evidence,) = shape_evidence(QWEN3[0], SPARSE, [chip])
    print(plan_text(plan, usd_per_hour=usd))
    print(f"{evidence.sentence}.")
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        priced = {"chip": chip.name, "price_basis": chip.price_basis, "price_date": chip.price_date}
        priced |= {"price_evidence": plain(evidence.to_data())}
        text = json.dumps({**priced, **plan_data(plan, usd_per_hour=usd)}, indent=1)
        file.write_text(text + "\n", encoding="utf-8")


def _refuse_unread() -> None:
    """An option that the other kind of plan reads would be set and not heard."""
    traces = bool(_TRACES.value)
    unread = _ASSUMED if traces else _OF_PILOT
    for name in unread:
        if flags.values[name].present:
            why = "not read with --traces; choose arms with --arms" if traces else "read with --traces only"
            raise InputError(f"--{name}: {why}")


def _detect(text: str) -> float | None:
    """``2points``, ``2 points`` or ``2`` as .02."""
    if not text:
        return None
    found = re.fullmatch(r"\s*(\d*\.?\d+)\s*(points?|pts?|%)?\s*", text)
    points = float(found[1]) if found else 0.0
    if not 0 < points < 100:
        raise InputError(f"--detect={text} must be points of accuracy between 0 and 100, as 2points")
    return points / 100


def _seconds(chip: Chip, usd: float | None) -> float | None:
    if _USD.value is not None and _HOURS.value is not None:
        raise InputError("give --usd or --chip_hours, not both")
    for name, value in (("usd", _USD.value), ("chip_hours", _HOURS.value)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name}={value} must be a number above 0")
    if _HOURS.value is not None:
        return _HOURS.value * 3600
    if _USD.value is None:
        return None
    if usd is None:
        raise InputError(
            f"--usd={_USD.value:g}: {chip.name} has no public {_BASIS.value} price: give --usd_per_hour"
        )
    return _USD.value / usd * 3600


def _pilot(chip: Chip, detect: float | None) -> list[Contrast]:
    """Contrasts of the pilot's arms; answers are cut where that costs a tenth of the difference at most."""
    family = _family()
    cells = [cell for cell in family.cells if _matches("arms", f"{cell.model} {cell.policy.label}")]
    if not cells:
        raise InputError(f"--arms={_ARMS.value} leaves no arm of {family.dataset} ({family.source})")
    family = Family(family.source, family.dataset, tuple(cells), family.notes)
    loss = (detect or _UNASKED) / 10
    cap = shortest_cap(cells, loss, LENGTHS)
    arms, left_out = pilot_arms(family, chip, cap=cap)
    print(f"{family.dataset} ({family.source}): {family.num_samples:,} pilot samples of {len(arms)} arms")
    for line in left_out:
        print(f"left out: {line}")
    print(
        f"answers: stop at {cap:,} tokens, which costs no arm more than {100 * loss:g} points"
        if cap
        else f"answers: at their caps; every shorter one costs an arm more than {100 * loss:g} points"
    )
    if not arms:
        raise InputError(f"no arm of {family.dataset} has a price on {chip.name}: {left_out[0]}")
    return pilot_contrasts(arms)


def _matches(flag: str, text: str) -> bool:
    try:
        return re.search(flags[flag], text) is not None
    except re.error as error:
        raise InputError(f"--{flag}={flags[flag]} is no regular expression: {error}") from None


def _family() -> Family:
    trials = read_trials(_TRACES.value).with_prompt_tokens(_PROMPT.value)
    families, skipped = comparable_families(trials)
    found = [
        family
        for family in families
        if _matches("datasets", family.dataset) and _matches("sources", family.source)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError("no comparable pilot samples are left" + (f": {skipped[0]}" if skipped else ""))
    names = "; ".join(f"{family.dataset} ({family.source})" for family in found[:4])
    more = f" and {len(found) - 4} more" if len(found) > 4 else ""
    raise InputError(
        f"a plan is for one data set of one source, name it with --datasets, --sources: {names}{more}"
    )


def _assumed(chip: Chip) -> list[Contrast]:
    policies = [parse_policy(text.strip()) for text in _POLICIES.value.split(";") if text.strip()]
    if not policies or not _MODELS.value:
        raise InputError("--models and --policies must name at least one of each")
    count = len(_MODELS.value) * len(policies)
    print(f"no pilot samples (--traces): {count} arms, answers of {_TOKENS.value:,} tokens")
    return assumed_contrasts(assumed_arms(_MODELS.value, policies, chip, _TOKENS.value))


command = Command(about=__doc__, flags=flags, main=main)
