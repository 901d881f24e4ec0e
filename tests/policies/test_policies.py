"""Policies against the reference's exact index sets, and their counts against their own masks."""

import contextlib
import dataclasses
import pickle
import re
import subprocess
import sys
import typing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax import references
from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.policies import (
    BlockTopK,
    Dense,
    PerLayer,
    Policy,
    Quest,
    RandomSelect,
    SlidingWindow,
    StridedBlockTopK,
    TopK,
    parse_policy,
    policy_from_dict,
    policy_from_stored,
    policy_to_dict,
    policy_to_stored,
    registry,
)
from tests.policies.slow_policies import kept


def drawn(cls, seed):
    """A policy of a class, its fields drawn by their types: what is registered is tried, with no list."""
    rng = np.random.default_rng(seed)
    draws = {
        int: lambda: int(rng.integers(1, 9)),
        bool: lambda: bool(rng.integers(2)),
        int | None: lambda: [None, int(rng.integers(1, 9))][rng.integers(2)],
        tuple[Policy, ...]: lambda: (Dense(), BlockTopK(4, 3)),
    }
    kinds = typing.get_type_hints(cls)
    while True:
        with contextlib.suppress(InputError):
            return cls(**{field.name: draws[kinds[field.name]]() for field in dataclasses.fields(cls)})


OURS = [cls for cls in registry.values() if cls.__module__.startswith("kinetics_jax.")]
EVERY_POLICY = (
    *(drawn(cls, seed) for cls in OURS for seed in range(2) if cls is not PerLayer),
    Dense(),
    TopK(5, local=3),
    BlockTopK(4, 3, local=2),
    StridedBlockTopK(8, 2, 4, local=4),
    SlidingWindow(9),
    Quest(4, 2),
    RandomSelect(6, local=2, seed=7),
    BlockTopK(4, 3, local=2, aligned=True),
    Quest(8, 2, sink=0, aligned=True),
    SlidingWindow(9, page_size=4),
    TopK(5, local=3, min_context=41),
    BlockTopK(4, 3, local=2, min_context=50),
    BlockTopK(4, 3, local=2, aligned=True, min_context=43),
    Quest(8, 2, sink=0, aligned=True, min_context=44),
    StridedBlockTopK(8, 2, 4, local=4, min_context=45),
    SlidingWindow(9, min_context=46),
    SlidingWindow(9, page_size=4, min_context=42),
    RandomSelect(6, local=2, seed=7, min_context=40),
)
TWO_LAYERS = PerLayer((Dense(), BlockTopK(4, 3)))


def closed_form_logits(b: int, n: int, s: int) -> np.ndarray:
    """Logits of reference masks (docs/paper_facts.md, "Sparse attention"): frac(sin(·))·4 − 2 in f32."""
    bb, hh, ss = np.meshgrid(np.arange(b), np.arange(n), np.arange(s), indexing="ij")
    x = np.sin(12.9898 * (ss + 1) + 78.233 * (hh + 1) + 37.719 * (bb + 1)) * 43758.5453
    return ((x - np.floor(x)) * 4 - 2).astype(np.float32)


def reference_policy(function: str, text: str):
    p = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", text)}
    if function == "topk":
        return TopK(p["topk"], p["local"])
    if function == "block_topk":
        return BlockTopK(p["block_size"], p["topk_block"], p["local"])
    if function == "strided_block_topk":
        return StridedBlockTopK(p["block_size"], p["topk_block"], p["stride"], p["local"])
    assert function == "local"
    return SlidingWindow(p["local"])


def test_masks_equal_the_reference_index_sets(reference_rows):
    rows = reference_rows("sparsity_mask_reference.csv")
    assert rows
    for row in rows:
        n, k, s = (int(row[c]) for c in ("num_query_heads", "num_kv_heads", "S_max"))
        b, length, head = (int(row[c]) for c in ("batch_row", "seq_len", "kv_head"))
        policy = reference_policy(row["function"], row["params"])
        lengths = np.full(2, s)
        lengths[b] = length
        keep = policy.keep_mask(closed_form_logits(2, n, s), lengths, k)
        expected = [int(i) for i in row["kept_token_indices"].split()]
        assert np.flatnonzero(keep[b, head]).tolist() == expected, row


def random_policy(rng: np.random.Generator):
    small = lambda low, high: int(rng.integers(low, high))  # noqa: E731
    since = {"min_context": int(rng.choice([0, 0, small(1, 70)]))}
    fixed = {"local": small(0, 9), "sink": small(0, 6), **since}
    size = small(1, 9)
    return [
        TopK(small(1, 12), **fixed),
        BlockTopK(size, small(1, 6), **fixed, aligned=bool(small(0, 2))),
        Quest(size, small(1, 6), **fixed, aligned=bool(small(0, 2))),
        StridedBlockTopK(size, small(1, 6), small(1, 9), **fixed),
        SlidingWindow(small(1, 12), sink=fixed["sink"], page_size=[None, size][small(0, 2)], **since),
    ][small(0, 5)]


@pytest.mark.parametrize("seed", range(20))
def test_masks_equal_a_slow_second_implementation(seed):
    """Vectorised over rows and heads, against sets built row by row."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        policy, size = random_policy(rng), int(rng.integers(1, 70))
        scores = rng.normal(size=(3, 2, size)).astype(np.float32)
        lengths = rng.integers(0, size + 1, 3)
        keep = np.broadcast_to(policy.keep(scores, lengths, np.arange(3)), scores.shape)
        for row, head in np.ndindex(3, 2):
            expected = kept(policy, scores[row, head, : lengths[row]])
            assert set(np.flatnonzero(keep[row, head]).tolist()) == expected, (policy, lengths[row])


@pytest.mark.parametrize("policy", EVERY_POLICY, ids=lambda p: p.label)
def test_masks_are_the_same_on_both_kinds_of_array(policy):
    jnp = pytest.importorskip("jax.numpy")
    scores = np.random.default_rng(1).normal(size=(4, 2, 48)).astype(np.float32)
    lengths = np.array([0, 5, 33, 48])
    keep = policy.keep(scores, lengths, np.arange(4))
    ours = policy.keep(jnp.asarray(scores), jnp.asarray(lengths), jnp.arange(4))
    assert (np.asarray(ours) == keep).all()


def test_random_draws_differ_by_stream_and_head_and_not_by_row():
    policy, lengths = RandomSelect(4, seed=3), np.array([60, 60, 60])
    keep = policy.keep(np.zeros((3, 2, 64), np.float32), lengths, np.array([5, 6, 5]))
    assert (keep[0] != keep[1]).any()
    assert (keep[0] == keep[2]).all()
    assert (keep[0, 0] != keep[0, 1]).any()


def test_a_policy_per_layer():
    lengths = np.arange(60)
    both = TWO_LAYERS.kv_reads(lengths)
    np.testing.assert_allclose(both, (lengths + BlockTopK(4, 3).kv_reads(lengths)) / 2)
    assert TWO_LAYERS.at_layer(0) == Dense()
    assert TWO_LAYERS.on_pages(4).at_layer(1).aligned
    assert policy_from_dict(policy_to_dict(TWO_LAYERS)) == TWO_LAYERS
    assert parse_policy("per_layer([dense, block_topk(4, 3)])") == TWO_LAYERS
    with pytest.raises(InputError, match="2 policies; the model has 3"):
        TWO_LAYERS.check_layers(3)
    with pytest.raises(InputError, match=r"at_layer"):
        TWO_LAYERS.keep_mask(np.zeros((1, 1, 4)), np.array([4]), 1)


def test_pages_must_be_the_blocks():
    assert BlockTopK(16, 4).on_pages(16) == BlockTopK(16, 4, aligned=True)
    assert TopK(4).on_pages(16) == TopK(4)
    with pytest.raises(InputError, match="blocks of 16"):
        BlockTopK(16, 4).on_pages(32)
    with pytest.raises(InputError, match="aligned"):
        BlockTopK(16, 4, aligned=1)


@pytest.mark.parametrize("policy", EVERY_POLICY, ids=lambda p: p.label)
@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, 80), seed=st.integers(0, 9))
def test_kv_reads_counts_the_mask(policy, length, seed):
    logits = np.random.default_rng(seed).normal(size=(1, 4, 80)).astype(np.float32)
    keep = policy.keep_mask(logits, np.array([length]), 2)
    reads = policy.kv_reads(np.array([length]))[0]
    assert not keep[..., length:].any()
    if isinstance(policy, StridedBlockTopK):  # the true set depends on data; reads is its bound
        assert (keep.sum(-1) <= reads).all()
    elif isinstance(policy, RandomSelect):  # reads is an expectation
        whole = length < policy.min_context
        assert (keep.sum(-1) <= (length if whole else policy.sink + policy.kv_budget)).all()
        assert not whole or (keep.sum(-1) == reads).all()
    else:
        assert (keep.sum(-1) == reads).all()
    assert 0 <= reads <= length


@pytest.mark.parametrize("policy", EVERY_POLICY, ids=lambda p: p.label)
def test_reads_grow_by_at_most_one_per_token(policy):
    lengths = np.arange(500)
    reads = policy.kv_reads(lengths)
    assert (np.diff(reads) <= 1 + 1e-9).all()  # so what is skipped, S − R, never falls
    assert (reads <= lengths).all()
    assert (policy.summary_reads(lengths) >= 0).all()


def test_unread_logits_do_not_change_a_mask():
    """Positions past the length are never looked at, whatever they hold."""
    logits = np.random.default_rng(0).normal(size=(1, 4, 64)).astype(np.float32)
    poisoned = logits.copy()
    poisoned[..., 50:] = np.nan
    for policy in EVERY_POLICY:
        a, b = (policy.keep_mask(x, np.array([50]), 2) for x in (logits, poisoned))
        assert (a == b).all(), policy


def test_ties_go_to_the_lower_index():
    keep = TopK(2, sink=0).keep_mask(np.zeros((1, 1, 6), np.float32), np.array([6]), 1)
    assert np.flatnonzero(keep[0, 0]).tolist() == [0, 1]


def test_random_select_is_uniform_over_the_middle():
    policy = RandomSelect(1, sink=1)
    hits = np.zeros(9)
    for seed in range(900):
        policy = RandomSelect(1, sink=1, seed=seed)
        hits += policy.keep_mask(np.zeros((1, 1, 9)), np.array([9]), 1)[0, 0]
    assert hits[0] == 900
    assert np.abs(hits[1:] - 900 / 8).max() < 5 * np.sqrt(900 / 8)


def test_formulas_take_jax_arrays_too():
    jnp = pytest.importorskip("jax.numpy")
    lengths = np.arange(200)
    for policy in EVERY_POLICY:
        ours = policy.kv_reads(jnp.asarray(lengths))
        assert type(ours).__module__.startswith("jax")
        np.testing.assert_allclose(ours, policy.kv_reads(lengths), rtol=1e-5)


@pytest.mark.parametrize("policy", [*EVERY_POLICY, TWO_LAYERS], ids=lambda p: p.label)
def test_text_round_trip(policy):
    fields = policy_to_dict(policy)
    assert policy_from_dict(fields) == policy
    assert policy_to_stored(policy) == fields  # a class of ours needs no reference
    assert pickle.loads(pickle.dumps(policy)) == policy
    call = ", ".join(f"{k}={v!r}" for k, v in fields.items() if k != "name")
    assert parse_policy(f"{policy.name}({call})") == policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topq(k=4)", "unknown policy 'topq'"),
        ("topk(", "not of the form"),
        ("topk(k=0)", "k=0 must be an integer ≥ 1"),
        ("topk(window=3)", "takes .*got"),
        ("topk(1, 2, 3, 4)", "at most 3"),
        ("__import__('os')", "unknown policy"),
        ("topk(k=open('x'))", "not of the form"),
    ],
)
def test_bad_text_is_one_clear_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_policy(text)
    assert "\n" not in str(caught.value)


def test_bad_arguments_are_refused():
    with pytest.raises(UnknownNameError):
        policy_from_dict({"name": "nothing"})
    with pytest.raises(InputError, match="does not divide"):
        TopK(2).keep_mask(np.zeros((1, 3, 8)), np.array([8]), 2)
    with pytest.raises(InputError, match="lengths"):
        TopK(2).keep_mask(np.zeros((1, 2, 8)), np.array([9]), 2)
    with pytest.raises(InputError, match=r"\[B, N, S\]"):
        TopK(2).keep_mask(np.zeros((2, 8)), np.array([8]), 2)
    with pytest.raises(InputError):
        BlockTopK(0, 4)
    with pytest.raises(InputError):
        TopK(2.5)


OWN = """
import dataclasses
from typing import ClassVar
from kinetics_jax.policies import Dense

@dataclasses.dataclass(frozen=True)
class Mine(Dense):
    size: int = 3
    name: ClassVar[str] = "mine"
"""


@pytest.fixture
def own(tmp_path):
    """A user's file with one policy, which is forgotten at the end."""
    (tmp_path / "own.py").write_text(OWN)
    yield tmp_path / "own.py"
    registry.pop("mine", None)


def test_a_policy_of_ones_own_file(own):
    policy = parse_policy(f"{own}:Mine(size=4)")
    assert parse_policy("mine(4)") == policy == parse_policy(f"{own}:Mine(4)")
    assert parse_policy(f"{own}:Mine") == type(policy)()
    stored = policy_to_stored(policy)
    assert stored == {"name": "mine", "size": 4, "class": f"{own}:Mine"}
    assert policy_from_stored(stored) == policy_from_stored("mine(size=4)") == policy
    assert policy_to_stored(PerLayer((Dense(), policy)))["layers"][1] == stored
    assert policy_from_stored(policy_to_stored(PerLayer((Dense(), policy)))).layers[1] == policy


def test_a_policy_of_ones_own_file_goes_to_other_processes(own, tmp_path):
    policy = parse_policy(f"{own}:Mine(size=4)")
    (tmp_path / "policy.pickle").write_bytes(pickle.dumps(policy))
    code = f"import pickle; print(pickle.load(open({str(tmp_path / 'policy.pickle')!r}, 'rb')).size)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "4\n"


def test_reading_a_log_imports_nothing_that_it_names(own):
    stored = {"name": "mine", "size": 4, "class": f"{own}:Mine"}
    for policy in (policy_from_stored(stored), policy_from_stored(f"{own}:Mine(4)")):
        assert type(policy).__name__ == "UnknownPolicy"
        assert "mine" not in registry
    elsewhere = policy_from_stored(stored | {"class": "/other/own.py:Mine"})
    assert elsewhere == policy_from_stored(stored) == policy_from_stored("mine(size=4)")
    assert policy_to_stored(elsewhere)["class"] == "/other/own.py:Mine"
    with pytest.raises(InputError, match=r"load its class, which was /other/own.py:Mine"):
        elsewhere.kv_reads(3)


def test_two_policies_of_one_name_are_refused_unless_they_are_one(own, tmp_path):
    first = parse_policy(f"{own}:Mine")
    (tmp_path / "second.py").write_text(OWN)
    with pytest.raises(InputError, match=r"two policies are called 'mine'.*own.py:Mine and .*second"):
        parse_policy(f"{tmp_path}/second.py:Mine")
    del sys.modules[type(first).__module__]
    assert type(parse_policy(f"{own}:Mine")) is not type(first)  # imported anew
    with pytest.raises(InputError, match="must be a word of its own"):

        class Nameless(Dense):
            pass


def test_a_policy_of_an_installed_package(own, tmp_path, monkeypatch):
    (tmp_path / "kj_package").mkdir()
    (tmp_path / "kj_package" / "__init__.py").write_text(OWN)
    (tmp_path / "kj_package-1.dist-info").mkdir()
    (tmp_path / "kj_package-1.dist-info" / "METADATA").write_text("Name: kj-package\nVersion: 1\n")
    points = "[kinetics_jax.policies]\nmine = kj_package:Mine\n"
    (tmp_path / "kj_package-1.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(tmp_path))
    references.entry_point.cache_clear()
    assert policy_to_stored(parse_policy("mine(5)"))["class"] == "kj_package:Mine"
    assert parse_policy("kj_package:Mine(5)") == parse_policy("mine(5)")
    references.entry_point.cache_clear()
