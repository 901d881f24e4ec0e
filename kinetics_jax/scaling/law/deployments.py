"""How each model of a family is deployed on a chip: the part of a law that decides its prices.

One deployment a model and chip, the same for its dense and sparse cells; as run, one for each policy.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kinetics_jax.chips.dtypes import canonical, peak_name
from kinetics_jax.costs import Chip, Cost, Deployment, Requests, Serving, cheapest_deployment, deployed, price
from kinetics_jax.costs.deployment import cost_of, fitting
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies import Policy
from kinetics_jax.records import RecordedDeployment
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.traces.comparable import Family
from kinetics_jax.scaling.traces.independent_trials import Cell
from kinetics_jax.shapes import ModelConfig

MANY_TIMES = 1.05
"""A batch that these traces cannot fill is noted where it makes them so much cheaper."""
SMALL = 0.01
"""Share of a copy's memory under which a model is said to fill no such chip."""
Chooser = Callable[[ModelConfig, Sequence[Requests]], Deployment]


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A family's models on one chip."""

    found: tuple[Deployment, ...]
    """Smallest model first; empty where the cost mode has no deployment."""
    notes: tuple[str, ...] = ()
    """What a reader must know of them."""

    def of(self, model: str, policy: Policy) -> Deployment:
        """The deployment of a model under a policy; one of its own, else that of the model."""
        mine = [one for one in self.found if one.model == model]
        return next((one for one in mine if one.policy == policy.label), mine[0])


def deploy(family: Family, chip: Chip, options: LawOptions, project: Policy | None = None) -> Deployed:
    """Every model of a family as ``options`` say.

    Args:
      family: whose own traces the deployments are chosen for.
      chip: what they are priced on.
      options: the rule, and what is given.
      project: a policy that dense cells are priced with besides their own; as run, on what they ran on.

    Raises ``InputError`` for a model that does not fit, or records that do not say what they ran on.
    """
    if options.cost_mode != "exact":
        return Deployed(())
    if options.deployment == "as_run":
        return _noted(family, chip, options, tuple(_as_run(family, chip, options)))
    return deploy_by(family, chip, options, _chooser(chip, options), project)


def deploy_by(
    family: Family, chip: Chip, options: LawOptions, choose: Chooser, project: Policy | None = None
) -> Deployed:
    """Every model as ``choose`` says of it and its requests."""
    found = []
    for name in family.models:
        requests = requests_of([cell for cell in family.cells if cell.model == name], project)
        found.append(dataclasses.replace(choose(family.shapes[name], requests), model=name))
    return _noted(family, chip, options, tuple(found))


def cost_under(family: Family, chip: Chip, options: LawOptions, where: Deployed) -> Callable[..., Cost]:
    """``price`` of requests of a model of the family, by (name, policy, prompt, generated, trials)."""

    def cost(name: str, policy: Policy, *request: object) -> Cost:
        model = family.shapes[name]
        if not where.found:
            return price(model, policy, *request, chip=chip, mode=options.mode, overlap=options.overlap)
        serving = where.of(name, policy).serving
        return cost_of(model, Requests(policy, *request), chip, serving, options.overlap, options.mode)

    return cost


def priced_families(
    families: Sequence[Family], chip: Chip, options: LawOptions
) -> list[tuple[Family, Callable[..., Cost]]]:
    """Families that can be priced, each with its ``cost_under``; the laws of the others say why not."""
    found = []
    for family in families:
        try:
            where = deploy(family, chip, options)
        except InputError:
            continue
        found.append((family, cost_under(family, chip, options, where)))
    return found


def requests_of(cells: Sequence[Cell], project: Policy | None = None) -> list[Requests]:
    """The traces of cells as requests of one sample each, those with a projected policy too."""
    found = []
    for cell in cells:
        prompts = np.broadcast_to(cell.prompt_tokens[:, None], cell.generated_tokens.shape)
        traces = prompts[cell.present], cell.generated_tokens[cell.present]
        found.append(Requests(cell.policy, *traces))
        if project is not None and cell.policy.kv_budget is None:
            found.append(Requests(project, *traces))
    return found


def nearest_deployment(chip: Chip, options: LawOptions, num_chips: int) -> Chooser:
    """Chooses the chips a copy nearest to ``num_chips``: more where those do not hold a model."""

    def choose(model: ModelConfig, requests: Sequence[Requests]) -> Deployment:
        fit = fitting(model, requests, chip, options.serving)
        if not fit:
            return cheapest_deployment(
                model, requests, chip, serving=options.serving, **_how(options)
            )  # says why
        counts = [one.tensor_parallel or 1 for one in fit]
        below = [at for at, count in enumerate(counts) if count <= num_chips]
        serving = fit[below[-1] if below else 0]
        return deployed(model, requests, chip, serving, rule="sensitivity", **_how(options))

    return choose


def chip_counts_of(family: Family, chip: Chip, options: LawOptions) -> list[int]:
    """Every number of chips a copy on which some model of the family fits, fewest first."""
    counts = set()
    for name in family.models:
        cells = [cell for cell in family.cells if cell.model == name]
        fit = fitting(family.shapes[name], requests_of(cells), chip, options.serving)
        counts |= {one.tensor_parallel or 1 for one in fit}
    return sorted(counts)


def _how(options: LawOptions) -> dict[str, str]:
    """Prices as ``deployed`` takes them."""
    return {"overlap": options.overlap, "mode": options.mode}


def _chooser(chip: Chip, options: LawOptions) -> Chooser:
    def cheapest(model: ModelConfig, requests: Sequence[Requests]) -> Deployment:
        return cheapest_deployment(model, requests, chip, serving=options.serving, **_how(options))

    def fewest(model: ModelConfig, requests: Sequence[Requests]) -> Deployment:
        found = deployed(model, requests, chip, options.serving, rule="fewest_chips", **_how(options))
        return found

    return cheapest if options.deployment == "cheapest" else fewest


def _as_run(family: Family, chip: Chip, options: LawOptions) -> Iterator[Deployment]:
    """One deployment for each model and policy, from its records; what is given stands in their place."""
    for name in family.models:
        mine = [cell for cell in family.cells if cell.model == name]
        for policy in dict.fromkeys(cell.policy for cell in mine):
            cells = [cell for cell in mine if cell.policy == policy]
            recorded = _recorded(cells)
            samples = max(int(cell.samples.sum()) for cell in cells)
            said = {
                "tensor_parallel": _chips(recorded, chip),
                "batch": float(min(recorded.slots, samples)),
                "page_size": recorded.page_size,
                "weight_dtype": recorded.weight_dtype,
                "kv_dtype": recorded.kv_dtype,
                "compute_dtype": recorded.compute_dtype,
            }
            fields: dict[str, Any] = said | options.given | {"share_prefix": options.share_prefix}
            _check_peak(cells[0], chip, str(fields["compute_dtype"]))
            found = deployed(
                family.shapes[name],
                requests_of(cells),
                chip,
                Serving(**fields),
                rule="as_run",
                **_how(options),
            )
            yield dataclasses.replace(found, model=name, policy=policy.label)


def _recorded(cells: Sequence[Cell]) -> RecordedDeployment:
    """The one deployment that the samples of these cells ran on."""
    ran = list(dict.fromkeys(one for cell in cells for one in cell.deployments))
    if None in ran:
        raise InputError(
            f"deployment=as_run: records of {cells[0].label} do not say what they ran on; price with "
            "deployment=cheapest"
        )
    first = ran[0]
    assert first is not None
    if len(ran) > 1:
        parts = [f"{one.slots} slots on {one.tensor_parallel} × {one.device}" for one in ran if one]
        raise InputError(
            f"deployment=as_run: {cells[0].label} ran on {len(ran)} deployments ({'; '.join(parts)}); price "
            "records of one at a time"
        )
    return first


def _chips(recorded: RecordedDeployment, chip: Chip) -> int:
    """Chips of the devices of a copy: on the chip that it ran on, a chip may be two devices."""
    per_chip = chip.device.per_chip if chip.device and chip.device.kind == recorded.device else 1
    return max(1, -(-recorded.tensor_parallel // per_chip))


def _check_peak(cell: Cell, chip: Chip, dtype: str) -> None:
    try:
        peak_name(canonical(dtype))
    except UnknownNameError:
        raise InputError(
            f"deployment=as_run: {cell.label} was computed in {dtype}, of which {chip.name} has no peak; "
            "give compute_dtype=bfloat16 to price it as if it was that"
        ) from None


def _noted(family: Family, chip: Chip, options: LawOptions, found: tuple[Deployment, ...]) -> Deployed:
    """With notes that name models whose batch these traces alone cannot fill, or that do not fit."""
    unfilled = [part for one in found if (part := _unfilled(family, chip, options, one))]
    too_large = [_named(one) for one in found if one.rule == "as_run" and not _fits(family, chip, one)]
    notes = []
    if unfilled:
        notes.append(
            "batches are what fits, as if others' samples filled them; a cell alone would be dearer: "
            + "; ".join(unfilled)
        )
    if too_large:
        label = chip.label or chip.name
        notes.append(f"priced as run, though so many {label} do not hold it: {'; '.join(too_large)}")
    return Deployed(found, tuple(notes))


def _named(one: Deployment) -> str:
    return f"{one.model}, {one.policy} (batch {one.batch:,.0f} on {one.num_chips})"


def _fits(family: Family, chip: Chip, one: Deployment) -> bool:
    cells = [c for c in family.cells if c.model == one.model and one.policy in ("", c.policy.label)]
    return bool(fitting(family.shapes[one.model], requests_of(cells), chip, one.serving))


def _unfilled(family: Family, chip: Chip, options: LawOptions, one: Deployment) -> str:
    """A batch that is larger than these traces; empty where it is not, or makes next to no difference."""
    cells = [cell for cell in family.cells if cell.model == one.model]
    samples = max(int(cell.samples.sum()) for cell in cells)
    if one.batch <= samples or one.serving.batch is not None:
        return ""
    model, requests = family.shapes[one.model], requests_of(cells)
    alone, whole = (
        deployed(model, requests, chip, serving, rule=one.rule, **_how(options))
        for serving in (dataclasses.replace(one.serving, batch=float(samples)), one.serving)
    )
    times = alone.chip_seconds / whole.chip_seconds if whole.chip_seconds else 1.0
    if times < MANY_TIMES:
        return ""
    held = model.total_params * one.serving.weight_bytes / (one.num_chips * chip.hbm_bytes)
    small = f"its weights fill {held:.1g} of the memory, " if held < SMALL else ""
    return f"{one.model} {times:.1f}× ({small}batch {one.batch:,.0f}, {samples:,} samples)"
