"""``price``: what a request costs, given a model, a policy, lengths, trials and a chip."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from kinetics_jax.checks import check_number, python_number, shown
from kinetics_jax.chips.chip import Chip, get_chip
from kinetics_jax.costs.calibrated import CountedTerms, calibrated_times
from kinetics_jax.costs.cost import CalibratedCost, Cost
from kinetics_jax.costs.exact import Workload, exact_terms
from kinetics_jax.costs.published import paper_terms, reference_terms, summed_terms
from kinetics_jax.costs.request import Request
from kinetics_jax.costs.serving import Serving, chips_per_copy, decode_batch
from kinetics_jax.errors import InputError
from kinetics_jax.policies import Policy
from kinetics_jax.shapes import ModelConfig, presets

MODES = ("exact", "calibrated", "paper", "reference")
TERMS = ("all", "paper")
MAX_TOKENS = 1 << 24
"""Longest prompt or generation that is priced; sums over steps are tables of that length."""
MAX_TRIALS = 1e12
_PUBLISHED = {"paper": paper_terms, "reference": reference_terms}


def price(
    model: ModelConfig | str,
    policy: Policy,
    prompt_tokens: Any,
    generated_tokens: Any,
    trials: Any = 1,
    *,
    chip: Chip | str | Path,
    mode: str = "exact",
    overlap: str = "sum",
    terms: str = "all",
    intensity: float | None = None,
    **options: Any,
) -> Cost:
    """Price ``trials`` samples of one prompt. Arrays broadcast: one price per element.

    Average the *price* over sampled traces, never price the mean length (paper eq. 10). One call is
    one deployment: where ``tensor_parallel`` is left open, the longest context of the arrays must fit.

    Args:
      model: a ``ModelConfig`` or the name of a preset.
      policy: what each decode step reads.
      prompt_tokens: L_in, whole numbers ≥ 0.
      generated_tokens: L_out, whole numbers ≥ 0.
      trials: N samples that share the prompt, whole numbers ≥ 1.
      chip: a ``Chip``, a name of ``chips``, or a path to a chip file (.toml).
      mode: ``exact`` charges what an engine does (``costs.exact``) at the data sheet's peaks; ``calibrated``
        the same work in seconds of kernels as they were measured (``costs.calibrated``), with eFLOPs as in
        ``exact``; ``paper`` is the paper's equations as printed; ``reference`` its released scripts, bug for
        bug.
      overlap: ``sum``, ``max`` or ``roofline``; see ``Cost.eflops``.
      terms: with ``mode="exact"``: ``all``, or ``paper`` to sum only the paper's own terms, exactly,
        step by step, with the paper's params and I.
      intensity: I in FLOP/byte; from the chip unless given: peak of ``compute_dtype`` ÷ bandwidth in
        ``exact``, and the paper's (FP8 peak against BF16 bytes, 562.5 on B200) in the other modes.
      **options: what only one kind of terms reads. All terms in exact mode: the fields of ``Serving``
        (``batch``, ``weight_dtype``, ``kv_dtype``, ``compute_dtype``, ``tensor_parallel``,
        ``share_prefix``, ``prefill``, ``oracle_search``, ``hbm_fraction``). The paper's terms:
        ``params``, P of the linear term (``ModelConfig.paper_params`` unless given).

    Returns:
      A ``Cost``: ``compute_flops``, ``memory_bytes``, ``eflops``, ``seconds``, ``dollars``, ``terms``.

    Raises:
      InputError: unknown model, chip, mode or option; lengths that are negative, NaN or not whole;
        an option that the mode does not read; a model that does not fit.
    """
    if mode not in MODES:
        raise InputError(f"mode={shown(mode)} must be one of {', '.join(MODES)}")
    if terms not in TERMS or (terms == "paper" and mode != "exact"):
        raise InputError(f"terms={shown(terms)} must be 'all', or 'paper' with mode='exact'")
    if mode == "calibrated" and (overlap != "sum" or intensity is not None):
        raise InputError(
            "mode='calibrated' times kernels one after another: overlap must be 'sum', and intensity left out"
        )
    full = mode in ("exact", "calibrated") and terms == "all"
    request = _request(model, policy, prompt_tokens, generated_tokens, trials)
    if not full and not policy.has_paper_cost:
        raise InputError(f"{policy.label}: the paper has no cost for it; use mode='exact'")
    chip = get_chip(chip)
    if full:
        return _engine(request, chip, _serving(options), mode, overlap, intensity)
    params = options.pop("params", None)
    if given := sorted(name for name, value in options.items() if value is not None):
        raise InputError(
            f"{', '.join(given)}: not read in mode={mode!r}, terms={terms!r} (exact, all terms only)"
        )
    count = summed_terms if mode == "exact" else _PUBLISHED[mode]
    return Cost(
        terms=count(request, request.model.paper_params if params is None else _params(params)),
        chip=chip,
        mode=mode,
        overlap=overlap,
        peak_flops=chip.paper_peak,
        intensity=_intensity(intensity, chip.paper_intensity),
    )


def _request(
    model: ModelConfig | str, policy: Policy, prompt_tokens: Any, generated_tokens: Any, trials: Any
) -> Request:
    """What is asked, checked."""
    model = presets[model] if isinstance(model, str) else model
    for name, value, kind in (("model", model, ModelConfig), ("policy", policy, Policy)):
        if not isinstance(value, kind):
            raise InputError(f"{name}={shown(value)} must be a {kind.__name__} of kinetics_jax")
    policy.check_layers(model.num_layers)
    request = Request(
        model,
        policy,
        prompt=_whole("prompt_tokens", prompt_tokens, 0, MAX_TOKENS).astype(np.int64),
        generated=_whole("generated_tokens", generated_tokens, 0, MAX_TOKENS).astype(np.int64),
        trials=_whole("trials", trials, 1, MAX_TRIALS),
    )
    shapes = [np.shape(x) for x in (request.prompt, request.generated, request.trials)]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise InputError(
            f"prompt_tokens {shapes[0]}, generated_tokens {shapes[1]} and trials {shapes[2]} do not "
            "broadcast together"
        ) from None
    return request


def _engine(
    request: Request, chip: Chip, serving: Serving, mode: str, overlap: str, intensity: float | None
) -> Cost:
    """Modes ``exact`` and ``calibrated``: one count of work, at the data sheet's pace or the kernels'."""
    longest = float(np.max(request.context, initial=1))
    num_chips = chips_per_copy(request.model, chip, longest, serving)
    batch = decode_batch(request.model, chip, request.context, num_chips, serving)
    work = Workload(request, serving, num_chips, batch)
    figures: dict[str, Any] = {
        "terms": exact_terms(work),
        "chip": chip,
        "mode": mode,
        "overlap": overlap,
        "peak_flops": chip.peak(serving.compute_dtype),
        "intensity": _intensity(intensity, chip.intensity(serving.compute_dtype)),
        "batch": batch,
        "num_chips": num_chips,
    }
    if mode == "exact":
        return Cost(**figures)
    times, steps = calibrated_times(work, figures["terms"], chip)
    counted = CountedTerms(figures["terms"], times, steps)
    return CalibratedCost(**{**figures, "terms": counted}, times=times, steps=steps)


def _serving(options: dict[str, Any]) -> Serving:
    if options.pop("params", None) is not None:
        raise InputError("params is read by the paper's terms only; exact counts the model's own")
    known = [field.name for field in dataclasses.fields(Serving)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"price has no option {', '.join(unknown)}; it has {', '.join(known)}")
    return Serving(**options)


def _intensity(given: float | None, default: float) -> float:
    if given is None:
        return default
    number = python_number(given)
    if number is None or not 0 < number < np.inf:
        raise InputError(f"intensity={shown(given)} FLOP/byte must be positive, and one number")
    return float(number)


def _params(given: float) -> float:
    number = check_number("params", given)
    if number < 0:
        raise InputError(f"params={number!r} must be a number of parameters, at least 0")
    return float(number)


def _whole(name: str, values: Any, least: int, most: float) -> np.ndarray:
    """``values`` as float64 whole numbers in range, or an InputError that shows the first bad one."""
    try:
        given = np.asarray(values)
        # NumPy would make numbers of truth values and of texts.
        odd = given.dtype == object and any(isinstance(x, str | bool) for x in given.flat)
        if odd or given.dtype.kind in "bcmMSU":
            raise TypeError
        numbers = given.astype(float)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}={shown(values)} must be whole numbers ≥ {least}") from None
    inside = (numbers >= least) & (numbers <= most)
    bad = ~(np.isfinite(numbers) & inside & (numbers == np.floor(numbers)))
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"[{', '.join(map(str, index))}]" if index else ""
        limit = f", at most {most:,.0f}" if numbers[index] > most else ""
        raise InputError(f"{name}{where} = {numbers[index]:.15g} must be a whole number ≥ {least}{limit}")
    return numbers
