"""The terminal's table: the answer first, at most 25 lines, none too long, nothing that moves the cursor."""

import pytest

from kinetics_jax.report import summary_table


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_it_fits_a_terminal(any_results, width):
    lines = summary_table(any_results, width).splitlines()
    assert 0 < len(lines) <= 25
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_the_answer_comes_first_and_bands_follow(results):
    text = summary_table(results)
    assert text.startswith("On B200, below 0.1 s per question use qwen3-4b")
    assert "aime24" in text
    assert "qwen3-0.6b < 76 ms" in text
    assert "+6.1" in text


def test_many_laws_and_answers_are_cut_and_say_so(results_maker, law_maker):
    laws = [law_maker(dataset=f"set-{i}", chip=chip) for i in range(9) for chip in ("b200", "h100", "a100")]
    answers = tuple(f"Answer {i}: " + "use this model for that cost. " * 5 for i in range(20))
    lines = summary_table(results_maker(laws, answers=answers)).splitlines()
    assert len(lines) <= 25
    assert lines[0].startswith("Answer 0")
    assert any("more answers in report.html" in line for line in lines)
    assert lines[-1].startswith("… ")
    assert "more laws in report.html" in lines[-1]
    for i in range(9):  # every set of traces on its first chip before any set on its second
        assert sum(f"set-{i} " in line for line in lines) == 1


def test_counts_of_what_was_cut_add_up(results_maker, law_maker):
    laws = [law_maker(dataset=f"set-{i}") for i in range(40)]
    lines = summary_table(results_maker(laws)).splitlines()
    shown = sum(line.startswith("set-") for line in lines)
    assert lines[-1] == f"… {40 - shown} more laws in report.html"


def test_nothing_fits_and_no_traces_are_said(cases):
    assert "nothing fits these costs" in summary_table(cases["nothing fits"]())
    assert "qwen3-32b" in summary_table(cases["no traces"]())


def test_a_projection_cannot_be_taken_for_a_measurement(cases):
    assert "if block_topk 16×64" in summary_table(cases["projected"]())
