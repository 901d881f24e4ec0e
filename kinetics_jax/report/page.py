"""The report as one HTML page that needs nothing but itself: no script, no request, figures inside.

What it says stands in ``templates/``, which this file hands the results. Every text is escaped, and what
a person could not see in it is shown as �, whoever wrote it.
"""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kinetics_jax.report import words
from kinetics_jax.report.figures import BREAK_EVEN, GLANCE, Drawing, frontier_stem, optima_stem
from kinetics_jax.report.figures.optima import constants
from kinetics_jax.report.figures.palette import Palette
from kinetics_jax.report.groups import Group, group_laws, law_label, rule
from kinetics_jax.report.prices import shown_columns
from kinetics_jax.report.selection_tables import CHOICES, selection_table
from kinetics_jax.scaling.law.measures import NAMES
from kinetics_jax.scaling.law.results import Law, Results

LINKED_LAWS = 6
"""With more laws than this the contents leave them to the table of data."""
_TABLE_ROWS = 7
"""Costs at which two frontiers are compared in a table."""
_LAW = "law-"


class Section(NamedTuple):
    """One heading of the page with what stands under it; an empty body is left out."""

    anchor: str
    title: str
    body: Markup


def render_page(results: Results, drawings: Mapping[str, Drawing]) -> str:
    """The whole document.

    Args:
        results: what a run found.
        drawings: its figures by stem, as ``figures.draw_all`` gives them.
    """
    palette, groups = Palette(results), group_laws(results)
    templates = _templates(results=results, drawings=drawings, palette=palette, groups=groups)

    def section(anchor: str, title: str, template: str, **shown: Any) -> Section:
        return Section(anchor, title, Markup(templates.get_template(template).render(shown).strip()))

    every = [
        section("data", "What the data are, and are not", "data.html"),
        section("glance", "The law on every chip, at a glance", "glance.html"),
        *(section(_LAW + group.stem, group.title, "law.html", **_law(group, palette)) for group in groups),
        section("claims", "The paper’s claims against these traces", "claims.html"),
        section("prices", "Data sheet against calibrated prices", "prices.html"),
        section("sensitivity", "What survives other deployments", "sensitivity.html"),
        section("shapes", "What follows from shapes and chips alone", "shapes.html"),
        section("pricing", "How it was priced", "pricing.html"),
        section("provenance", "Inputs, settings and versions", "provenance.html"),
    ]
    sections = [section for section in every if section.body]
    many = len(groups) > LINKED_LAWS
    linked = [section for section in sections if not (many and section.anchor.startswith(_LAW))]
    return templates.get_template("page.html").render(sections=sections, linked=linked)


def _templates(**shown: Any) -> Environment:
    """The templates, and what all of them may show."""
    templates = Environment(
        loader=PackageLoader("kinetics_jax.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda text: text if isinstance(text, Markup) else words.printable(text),
    )
    templates.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    templates.filters["chip_title"] = lambda law: law.chip_label or law.chip
    templates.globals.update(shown, words=words, rule=rule, law_label=law_label, glance=GLANCE)
    templates.globals.update(break_even=BREAK_EVEN, shown_columns=shown_columns, price_names=NAMES)
    return templates


def _law(group: Group, palette: Palette) -> dict[str, Any]:
    """What ``law.html`` shows beside the group itself."""
    law = group.first
    estimates = [estimate for result in law.frontiers.values() for estimate in result.fits.values()]
    return {
        "group": group,
        "law": law,
        "lead": law.best_frontier,
        "frontier": frontier_stem(group),
        "optima": optima_stem(group),
        "constants": constants(law.best_frontier),
        "cells": sorted(law.cells, key=lambda cell: (palette.size(cell.model), cell.model, cell.policy)),
        "levels": {words.percent(estimate.level, 0) for estimate in estimates},
        "rule_costs": _rule_costs(law),
        "sparse_costs": _sparse_costs(law),
        "selections": selection_table(law),
        "choices": CHOICES,
    }


def _rule_costs(law: Law) -> list[int]:
    """Grid points at which both rules solve something; none where one rule was asked for."""
    if not {"paper", "held_out"} <= law.frontiers.keys():
        return []
    paper, held_out = law.frontiers["paper"].accuracy, law.frontiers["held_out"].accuracy
    return _spread(np.isfinite(paper) & (np.nan_to_num(held_out) > 0))


def _sparse_costs(law: Law) -> list[int]:
    if law.sparse is None:
        return []
    return _spread(np.maximum(np.nan_to_num(law.sparse.dense), np.nan_to_num(law.sparse.sparse)) > 0)


def _spread(usable: np.ndarray) -> list[int]:
    """A few grid points, evenly spread over the usable ones."""
    known = np.flatnonzero(usable)
    if not known.size:
        return []
    at = np.linspace(0, len(known) - 1, _TABLE_ROWS).astype(int)
    return known[np.unique(at)].tolist()
