"""The report as one HTML page that needs nothing but itself: no script, no request, figures inside."""

from collections.abc import Mapping

from kinetics_jax.report import words
from kinetics_jax.report.figures import Drawing
from kinetics_jax.report.figures.palette import Palette
from kinetics_jax.report.groups import group_laws
from kinetics_jax.report.markup import Markup, el
from kinetics_jax.report.page import background, evidence, laws
from kinetics_jax.report.page.parts import Context, Section
from kinetics_jax.report.stylesheet import CSS
from kinetics_jax.scaling.law.results import Results

TITLE = "Test-time scaling law"
OPEN_ANSWERS = 6
LINKED_LAWS = 6


def render_page(results: Results, drawings: Mapping[str, Drawing]) -> str:
    """The whole document.

    Args:
        results: what a run found.
        drawings: its figures by stem, as ``figures.draw_all`` gives them.
    """
    context = Context(results, group_laws(results), drawings, Palette(results))
    sections = [section for section in _sections(context) if section.body]
    body = el(
        "main",
        el("h1", TITLE),
        el("p", _subtitle(context), class_="lead"),
        _answer(results),
        _contents(sections),
        *(el("section", el("h2", s.title, id=s.anchor), s.body) for s in sections),
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", TITLE),
        el("style", Markup(CSS)),
    )
    return f"<!doctype html>\n{el('html', head, el('body', body), lang='en')}\n"


def _sections(context: Context) -> list[Section]:
    return [
        evidence.data(context),
        laws.glance(context),
        *(laws.law(context, group) for group in context.groups),
        evidence.claims(context),
        background.shapes(context),
        background.pricing(context),
        background.provenance(context),
    ]


def _subtitle(context: Context) -> str:
    results = context.results
    if not results.laws:
        return "No traces were given: what follows from shapes and chips alone."
    chips = list(dict.fromkeys(law.chip_label or law.chip for law in results.laws))
    datasets = list(dict.fromkeys(law.dataset for law in results.laws))
    return f"{', '.join(datasets)} — priced on {', '.join(chips)}"


def _answer(results: Results) -> Markup:
    """The first answers in the open, the rest a click away."""
    if not results.answers:
        return Markup()
    first, rest = results.answers[:OPEN_ANSWERS], results.answers[OPEN_ANSWERS:]
    shown = [el("p", answer) for answer in first]
    if rest:
        summary = el("summary", words.counted(len(rest), "more answer"))
        shown.append(el("details", summary, *(el("p", answer) for answer in rest)))
    return el("div", *shown, class_="answer")


def _contents(sections: list[Section]) -> Markup:
    """Links to the sections; with many laws they are linked from the table of data only."""
    many = sum(s.anchor.startswith(laws.ANCHOR) for s in sections) > LINKED_LAWS
    shown = [s for s in sections if not (many and s.anchor.startswith(laws.ANCHOR))]
    links = [el("li", el("a", s.title, href=f"#{s.anchor}")) for s in shown]
    return el("nav", el("ol", *links), aria_label="Contents")
