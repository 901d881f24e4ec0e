"""The HTML report: complete, escaped, well formed, and in need of nothing from outside."""

import configparser
import re
from html.parser import HTMLParser

import pytest
from markupsafe import escape

from kinetics_jax.report.page import render_page
from kinetics_jax.report.words import printable, seconds
from tests.rooms import ROOT

VOID = {"meta", "img", "br", "hr"}
LOADS = {"src", "href", "srcset", "action", "data", "poster", "background", "formaction"}


def escaped(text):
    """A text as it stands in the page."""
    return escape(printable(text))


class Reader(HTMLParser):
    """Checks nesting while it reads; keeps tags, attributes, ids and text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def page(any_results, any_drawings):
    text = render_page(any_results, any_drawings)
    return any_results, any_drawings, text, Reader(text)


def test_the_page_is_nested_properly_and_runs_no_script(page):
    _, _, text, read = page
    assert text.startswith("<!doctype html>")
    assert read.open == []
    assert "script" not in read.tags
    assert not [name for name, _ in read.attributes if name.startswith("on")]


def test_nothing_is_loaded_from_anywhere(page):
    _, _, text, read = page
    for name, value in read.attributes:
        if name in LOADS:
            assert value.startswith(("data:image/svg+xml;base64,", "#")), (name, value[:60])
    assert not re.search(r"@import|url\(|<link|<iframe|<object|<base", text)


def test_links_lead_somewhere_and_anchors_are_unique(page):
    _, _, _, read = page
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for name, value in read.attributes if name == "href"}
    assert links
    assert links <= set(ids)


def test_every_figure_is_in_it_with_words_for_those_who_do_not_see_it(page):
    _, drawings, _, read = page
    assert read.tags.count("img") == len(drawings)
    alts = [value for name, value in read.attributes if name == "alt"]
    assert len(alts) == len(drawings)
    assert all(len(alt) > 20 for alt in alts)


def test_what_the_results_say_is_in_it(page):
    results, _, text, read = page
    said = [
        *(escaped(answer) for answer in results.answers),
        *(escaped(item) for row in results.claims for item in row[1:]),
        *(escaped(item) for item in results.skipped),
        *(escaped(note) for law in results.laws for note in law.notes),
        *(escaped(cell.model) for law in results.laws for cell in law.cells),
        *(escaped(given["sha256"]) for given in results.inputs),
        *(escaped(name) for name in results.versions),
        *(escaped(name) for name in results.settings),
    ]
    assert [item for item in said if item not in text] == []
    for law in results.laws:
        for result in list(law.frontiers.values())[:1]:
            for band in result.bands:
                assert seconds(band.start / law.peak_flops) in read.words


def test_hostile_names_are_text(cases):
    results = cases["hostile"]()
    text = render_page(results, {})
    assert "<script>" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_projection_says_that_it_is_one(cases):
    read = Reader(render_page(cases["projected"](), {}))
    assert "These traces were not decoded with that policy" in read.words


def test_without_a_price_no_dollar_is_shown(cases):
    text = Reader(render_page(cases["no price"](), {})).words
    assert "$0" not in text
    assert "B200" in text


def test_the_page_is_that_of_templates_that_travel_with_the_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    pattern = setup["options.package_data"]["kinetics_jax.report"]
    folder = ROOT / "kinetics_jax" / "report"
    assert set(folder.glob(pattern)) == {
        path for path in folder.rglob("*") if path.suffix in (".html", ".css")
    }
