"""What figures show: colours that are stable and distinct, ticks, honest words. Pixels are for people."""

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from kinetics_jax.report.figures import draw_all
from kinetics_jax.report.figures.bands import draw_bands
from kinetics_jax.report.figures.frontier import draw_frontier
from kinetics_jax.report.figures.optima import constants, draw_optima
from kinetics_jax.report.figures.palette import NOTHING, Palette
from kinetics_jax.report.figures.style import _log_ticks, runs, visible_costs
from kinetics_jax.report.groups import group_laws


def texts(svg):
    """All text of an SVG."""
    return " ".join(
        "".join(node.itertext()) for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    )


def frontier_of(results):
    """The frontier figure of the only group."""
    return draw_frontier(group_laws(results)[0], Palette(results), "x")


def test_models_that_meet_have_different_colours(any_results):
    palette = Palette(any_results)
    for law in any_results.laws:
        colours = [palette.colour(name) for name in law.models]
        assert len(set(colours)) == min(len(colours), 7)
        sizes = [palette.size(name) for name in palette.by_size(law.models)]
        assert sizes == sorted(sizes)


def test_a_models_colour_does_not_depend_on_the_other_laws(results_maker, law_maker):
    assert Palette(results_maker([law_maker(models=("Qwen3-8B",))])).colour("QWEN3-8b") == "#e0b000"
    alone = Palette(results_maker([law_maker()]))
    among = Palette(results_maker([law_maker(), law_maker(dataset="x", models=("other-7b", "qwen3-8b"))]))
    for name in ("qwen3-0.6b", "qwen3-4b", "qwen3-14b", "qwen3-32b"):
        assert alone.colour(name) == among.colour(name)
    assert alone.colour("") == alone.colour("unheard of") == NOTHING


def test_drawing_leaves_matplotlib_as_it_was(cases):
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_all(cases["no traces"]())
    assert dict(matplotlib.rcParams) == before


def test_the_frontier_names_what_it_shows(results, drawings):
    drawing = drawings["frontier-aime24-someone-traces"]
    shown = texts(drawing.svg)
    for name in results.laws[0].models:
        assert name in shown
    for text in (
        "frontier, held out",
        "paper’s rule",
        "chip-seconds on B200",
        "tera-eFLOPs",
        "95 % interval",
    ):
        assert text in shown


def test_a_single_rule_claims_no_difference(cases):
    drawing = frontier_of(cases["one rule"]())
    assert "what that rule adds" not in texts(drawing.svg)
    assert "Dotted" not in drawing.caption


def test_a_single_model_has_no_share_to_show(cases):
    drawing = frontier_of(cases["one model"]())
    assert "resampled" not in texts(drawing.svg)


def test_every_chip_has_a_bar(cases):
    results = cases["every chip"]()
    drawing = draw_bands(group_laws(results), Palette(results), "x", "Bands")
    shown = texts(drawing.svg)
    for law in results.laws:
        assert law.chip_label in shown


def test_fits_show_their_exponent_and_its_interval(drawings):
    drawing = drawings["optima-aime24-someone-traces"]
    assert "91.7·x^0.80" in texts(drawing.svg)
    assert "[0.74, 0.86]" in texts(drawing.svg)


def test_what_never_changes_is_said_and_not_drawn(results_maker, law_maker):
    law = law_maker(sparse=False)
    flat = {
        name: dataclasses.replace(
            result,
            **{q: np.where(np.isfinite(result.tokens), 4.0, np.nan) for q in ("tokens", "trials", "length")},
        )
        for name, result in law.frontiers.items()
    }
    results = results_maker([dataclasses.replace(law, frontiers=flat)])
    group = group_laws(results)[0]
    assert draw_optima(group, Palette(results), "x") is None
    said = constants(group.first.best_frontier)
    assert "Trials: 4 throughout." in said
    assert "Attention: dense throughout." in said


@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e5), (0.8, 1.3), (64, 131072), (2, 4), (1e-9, 1e12)])
@pytest.mark.parametrize("gap", [0.1, 0.2])
def test_ticks_are_inside_and_labels_do_not_touch(low, high, gap):
    ticks = _log_ticks(low, high, gap)
    assert ticks
    assert all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)
    gaps = np.diff(np.log(ticks)) / np.log(high / low)
    assert (gaps >= gap * 0.999).all()


def test_runs_and_visible_costs(law_maker, cases):
    assert list(runs(["a", "a", "b", "a"])) == [("a", 0, 2), ("b", 2, 3), ("a", 3, 4)]
    assert list(runs([])) == []
    law = law_maker()
    low, high = visible_costs(law)
    assert law.costs[0] <= low < high <= law.costs[-1]
    low, high = visible_costs(cases["nothing fits"]().laws[0])
    assert 0 < low < high
