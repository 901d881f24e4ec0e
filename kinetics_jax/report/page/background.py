"""What needs no traces, how costs were counted, and what the run was made from."""

from collections.abc import Iterable, Mapping
from typing import Any

from kinetics_jax.report import words
from kinetics_jax.report.markup import Markup, bullets, el, join, table
from kinetics_jax.report.page.parts import Context, Section
from kinetics_jax.scaling.law.results import Law, ShapeResults

MODES = {
    "exact": (
        "exact: what an engine does, summed over decode steps: the model’s own parameters, prefill, sinks "
        "and dense first layers, search for sparse policies, weight reads shared by the batch that fits "
        "the chip’s memory, one operand format for FLOPs and bytes."
    ),
    "paper": (
        "paper: the paper’s equations as printed. Weight reads are dropped, and FP8 peak FLOP/s is set "
        "against BF16 bytes."
    ),
    "reference": "reference: the paper’s released scripts, with their errors, to compare with its figures.",
}
OVERLAPS = {
    "sum": "sum: time for FLOPs plus time for bytes, as in the paper’s eFLOPs.",
    "max": "max: the longer of the two, as if they overlapped perfectly (App. A.1 of the paper).",
    "roofline": "roofline: the longer of the two for each kind of operation, then the sum.",
}


def shapes(context: Context) -> Section:
    """KV trend, Φ, contours and capacity."""
    found = context.results.shapes
    body = join(
        (
            el("p", "No trace and no accuracy is needed for these."),
            el("h3", "KV cache against model size"),
            context.figure("kv-trend"),
            _kv_trend(found),
            el("h3", "Where attention overtakes the weights"),
            context.figure("attention-over-weights"),
            _models(context, found),
            el("h3", "Contours of constant cost"),
            context.figure("contours"),
            el("h3", "What fits on which chip"),
            context.figure("capacity"),
            _capacity(context, found),
        )
    )
    return Section("shapes", "What follows from shapes and chips alone", body)


def _kv_trend(found: ShapeResults) -> Markup:
    rows = [
        (name, words.number(estimate.value), estimate.unit, estimate.note)
        for name, estimate in found.kv_trend.items()
    ]
    return table(("family, fit", "value", "unit", "note"), rows, numeric=(1,))


def _models(context: Context, found: ShapeResults) -> Markup:
    rows = [
        (
            context.model(model.name),
            words.params(model.total_params),
            words.number(found.kv_gib_per_32k[m]),
            _tokens(found.overtakes[m]),
            _tokens(found.tenfold[m]),
        )
        for m, model in enumerate(found.models)
    ]
    head = ("model", "parameters", "KV of 32,768 tokens, GiB", "Φ = 1 at tokens", "Φ = 10 at tokens")
    return table(head, rows, numeric=range(1, 5))


def _tokens(count: float) -> str:
    return f"{count:,.0f}" if count > 0 else words.MISSING


def _capacity(context: Context, found: ShapeResults) -> Markup:
    rows = [
        (
            row.chip,
            row.model,
            f"{row.num_chips}" if row.num_chips else "does not fit",
            f"{row.batch:,}",
            words.number(row.weight_gb),
            words.number(row.kv_gb_per_sequence),
            words.seconds(row.dense_seconds),
            words.seconds(row.sparse_seconds),
        )
        for row in found.capacity
    ]
    head = (
        "chip",
        "model",
        "chips a copy",
        "sequences",
        "weights, GB",
        "KV a sequence, GB",
        "dense sample, chip time",
        "block top-k 1,024, chip time",
    )
    whole = table(head, rows, numeric=range(2, 8))
    return el("details", el("summary", "As a table, with sample prices"), whole) if rows else whole


def pricing(context: Context) -> Section:
    """How a trace was turned into a cost."""
    laws = context.results.laws
    modes = dict.fromkeys(law.cost_mode for law in laws)
    overlaps = dict.fromkeys(law.overlap for law in laws)
    says = [*(MODES.get(mode, mode) for mode in modes), *(OVERLAPS.get(o, o) for o in overlaps)]
    if laws:
        says += [
            "A configuration’s cost is the mean price of its traces, never the price of the mean trace.",
            "A cost is a limit for every question alike; chip-seconds are eFLOPs ÷ the chip’s peak.",
        ]
    by_chip = {law.chip: law for law in laws}
    head = ("chip", "peak, TFLOP/s", "US$ per chip-hour")
    chips = table(head, [_chip(law) for law in by_chip.values()], numeric=(1, 2))
    return Section("pricing", "How it was priced", join((bullets(says), chips)))


def _chip(law: Law) -> tuple[str, str, str]:
    price = words.MISSING if law.usd_per_hour is None else words.number(law.usd_per_hour)
    return law.chip_label or law.chip, words.number(law.peak_flops / 1e12, 4), price


def provenance(context: Context) -> Section:
    """Inputs with their hashes, settings and versions."""
    results = context.results
    columns = list(dict.fromkeys(key for given in results.inputs for key in given))
    inputs = [[_code(given.get(key)) for key in columns] for given in results.inputs]
    body = join(
        (
            el("h3", "Inputs") if inputs else "",
            table(columns, inputs),
            el("h3", "Settings"),
            _pairs(results.settings),
            el("h3", "Versions"),
            _pairs(results.versions),
            el(
                "p",
                "All figures and tables above are drawn from ",
                el("code", "law.json"),
                " and ",
                el("code", "frontier.csv"),
                " beside this page.",
            ),
        )
    )
    return Section("provenance", "Inputs, settings and versions", body)


def _pairs(values: Mapping[str, Any]) -> Markup:
    return table(("name", "value"), [(name, _code(value)) for name, value in values.items()])


def _code(value: Any) -> Markup:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return el("code", words.MISSING if value is None else value)
    return el("code", ", ".join(str(item) for item in value))
