"""Summaries of fidelity: means and intervals over passages, and the table they become."""

import dataclasses

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.fidelity.intervals import summarise
from kinetics_jax.fidelity.records import Fidelity
from kinetics_jax.policies import Dense, Quest, TopK
from kinetics_jax.report.fidelity import markdown


def _record(text="a", passage=0, context=100, policy=None, kl=0.1, loss=2.0, dense=1.5, same=0.9):
    return Fidelity(
        text=text,
        passage=passage,
        context=context,
        span=8,
        policy=policy or TopK(4),
        kl=kl,
        loss=loss,
        dense_loss=dense,
        agreement=same,
        kv_reads=8.0,
    )


def test_texts_count_alike_however_many_passages_they_have():
    draw = np.random.default_rng(0)
    a, b = draw.uniform(0, 1, 3), draw.uniform(2, 3, 9)
    records = [_record("a", n, kl=k, loss=2 + k) for n, k in enumerate(a)]
    records += [_record("b", n, kl=k, loss=2 + k) for n, k in enumerate(b)]
    rows = {row.text: row for row in summarise(records)}
    assert list(rows) == ["a", "b", "all"]
    for name, kl, count in (("a", a.mean(), 3), ("b", b.mean(), 9), ("all", (a.mean() + b.mean()) / 2, 12)):
        row = rows[name]
        assert row.kl == pytest.approx(kl)
        assert row.perplexity_ratio == pytest.approx(np.exp(0.5 + kl))
        assert row.dense_perplexity == pytest.approx(np.exp(1.5))
        assert row.passages == count
        assert row.kl_interval.low < row.kl < row.kl_interval.high
        assert row.ratio_interval.low < row.perplexity_ratio < row.ratio_interval.high


def test_the_interval_covers_the_mean_of_the_source():
    """95 % intervals from 30 passages, 200 times over."""
    draw, inside = np.random.default_rng(1), 0
    for _ in range(200):
        records = [_record(passage=n, kl=k) for n, k in enumerate(draw.exponential(1.0, 30))]
        (row,) = summarise(records)
        inside += row.kl_interval.low <= 1.0 <= row.kl_interval.high
    assert 0.85 <= inside / 200 <= 0.99


def test_one_passage_has_no_interval_and_repeats_count_once():
    (row,) = summarise([_record(), _record()])
    assert row.passages == 1
    assert row.kl_interval is None
    assert row.ratio_interval is None
    assert "0.1000 |" in markdown([row])


def test_what_was_not_measured_everywhere_is_refused():
    records = [_record("a"), _record("b"), _record("a", policy=Dense())]
    with pytest.raises(InputError, match="dense at 100: not measured on every text"):
        summarise(records)
    with pytest.raises(InputError, match="no fidelity records"):
        summarise([])


def test_the_table():
    dense_first = dataclasses.replace(Quest(8, 2, aligned=True), dense_layers=0)
    policies = [Dense(), TopK(4), dense_first]
    records = [
        _record(text, passage, context, policy, kl=number / 100)
        for text in ("x", "y")
        for passage in (0, 1)
        for context in (64, 2048)
        for number, policy in enumerate(policies)
    ]
    table = markdown(summarise(records))
    assert table.count("| policy | read | KL at 64 | ppl × | same | KL at 2,048 | ppl × | same |") == 3
    assert "**all**, 4 passages; dense perplexity 4.48 at 64, 4.48 at 2,048" in table
    assert "| Quest 8×2, 0 dense layers | 8 | 0.0200 (0.0200…0.0200) | 1.649 | 90.0% |" in table
    widths = {line.count("|") for line in table.splitlines() if line.startswith("|")}
    assert widths == {9}
