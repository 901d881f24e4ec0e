"""Which pages a step lists, and what it launches to choose them: rows below ``min_context`` among others.

Axis letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pallas_kernels as pk
from kinetics_jax.attention.sparse_step import Step, attend_step, listed_pages
from kinetics_jax.policies import BlockTopK, Dense, PageRule, Policy, Quest, SlidingWindow

B, K, G, H, P, SIZE = 6, 2, 2, 64, 12, 8
BACK_ENDS = [None, "reference", "xla", "cpu"]


def step(lengths, seed=0, implementation=None, kinds=1) -> Step:
    """One step of sequences of these lengths, pages in no order, summaries of pages past a length NaN."""
    rng = np.random.default_rng(seed)
    lengths = np.asarray(lengths)
    summaries = rng.normal(size=(B, K, kinds, P, H)).astype(np.float32)
    gone = np.arange(P) >= -(-lengths // SIZE)[:, None]
    summaries[np.broadcast_to(gone[:, None, None], summaries.shape[:-1])] = np.nan
    return Step(
        query_bnh=jnp.asarray(rng.normal(size=(B, K * G, H)), jnp.float32),
        kv_pages=jnp.asarray(rng.normal(size=(B * P + 1, K, 2, SIZE, H)), jnp.float32),
        summaries=jnp.asarray(summaries),
        page_table_bp=jnp.asarray(1 + rng.permutation(B * P).reshape(B, P), jnp.int32),
        lengths_b=jnp.asarray(lengths, jnp.int32),
        rows_b=jnp.arange(B, dtype=jnp.int32),
        streams_b=jnp.arange(B, dtype=jnp.int32),
        page_size=SIZE,
        implementation=implementation,
        shared_heads=None,
    )


def lists(rule: PageRule, one: Step) -> list[list[list[int]]]:
    """What is valid of each list, as it stands."""
    ids, num = jax.jit(listed_pages, static_argnums=0)(rule, one)
    assert ids.shape[-1] == min(rule.longest_list, P)
    return [[ids[b, k, : num[b, k]].tolist() for k in range(K)] for b in range(B)]


def usable(implementation):
    if implementation == "cpu":
        pytest.importorskip("numba", reason="the CPU kernels are compiled by numba, which is not installed")


@pytest.mark.parametrize("implementation", BACK_ENDS)
@pytest.mark.parametrize("seed", range(6))
def test_short_rows_list_every_page_and_the_others_what_they_list_alone(implementation, seed):
    """Against the plain rule's own lists and against the whole text, random contexts on both sides."""
    usable(implementation)
    rng = np.random.default_rng(seed)
    plain = PageRule(SIZE, top=2, sink=seed % 2, local=1 + seed % 3 // 2)
    context = int(rng.integers(1, P * SIZE))
    edge = [context - 1, context]
    lengths = np.concatenate([edge, [0], rng.integers(0, P * SIZE + 1, B - 3)])
    one = step(lengths, seed, implementation)
    found = lists(dataclasses.replace(plain, whole_below=context), one)
    expected = lists(plain, one)
    table = np.asarray(one.page_table_bp)
    for b, length in enumerate(lengths):
        every = table[b, : -(-length // SIZE)][::-1].tolist()
        assert found[b] == ([every] * K if length < context else expected[b]), (context, length)


@pytest.mark.parametrize("implementation", BACK_ENDS)
def test_a_list_is_the_same_beside_any_neighbours(implementation):
    """Alone among short rows no other row searches; alone among long ones no other is read whole."""
    usable(implementation)
    rule = PageRule(SIZE, top=2, whole_below=50)
    for own in (0, 7, 49, 50, 96):
        found = [
            lists(rule, step([own] + [other] * (B - 1), 3, implementation))[0]
            for other in (0, 20, 49, 50, 90)
        ]
        assert all(one == found[0] for one in found)


@pytest.mark.parametrize("implementation", BACK_ENDS)
@pytest.mark.parametrize(("sink", "local"), [(0, 1), (1, 1), (2, 3), (0, 14), (5, 9)])
def test_a_window_lists_without_a_kernel_what_the_kernel_listed(implementation, sink, local):
    """``fixed_pages`` is arithmetic; before it there was ``select_pages`` of scores that are all 0."""
    usable(implementation)
    rule = PageRule(SIZE, top=0, sink=sink, local=local)
    one = step([0, 1, 8, 33, 80, 96], 1, implementation)
    ids, num = listed_pages(rule, one)
    want, want_num = pk.select_pages(
        jnp.zeros((B, K, P), jnp.float32),
        one.lengths_b,
        page_size=SIZE,
        top_k=rule.listed,
        sink_pages=sink,
        local_pages=local,
        page_table_bp=one.page_table_bp,
        implementation=implementation,
    )
    assert ids.shape == want.shape  # so attention adds in the order that it always did
    np.testing.assert_array_equal(num, want_num)
    held = np.arange(ids.shape[-1]) < np.asarray(num)[..., None]
    np.testing.assert_array_equal(np.where(held, ids, 0), np.where(held, want, 0))


@pytest.mark.parametrize(
    "rule", [PageRule(SIZE, 2, 1, 2, 0), PageRule(SIZE, 0, 1, 2, 30), PageRule(SIZE, 2, 1, 1, 61)]
)
def test_lists_are_the_positions_that_are_kept(rule):
    """``PageRule.keep`` is what the cost model counts and the masks follow."""
    lengths = np.array([0, 29, 30, 60, 61, 96])
    one = step(lengths, 5)
    scores = pk.page_scores(one.query_bnh, one.summaries, one.lengths_b, page_size=SIZE, rows_b=one.rows_b)
    keep = np.broadcast_to(rule.keep(np.asarray(scores), lengths, P * SIZE), (B, K, P * SIZE))
    found = lists(rule, one)
    for b, k in np.ndindex(B, K):
        pages = {int(at) // SIZE for at in np.flatnonzero(keep[b, k])}
        assert sorted(found[b][k]) == sorted(np.asarray(one.page_table_bp)[b, sorted(pages)].tolist())
        assert rule.kv_reads(lengths)[b] == keep[b, k].sum()


LAUNCHING: list[tuple[Policy, int]] = [
    (Dense(), 90),
    (SlidingWindow(10, page_size=SIZE), 90),
    (BlockTopK(SIZE, 2, aligned=True), 90),
    (Quest(SIZE, 2, aligned=True), 90),
    (BlockTopK(SIZE, 2, aligned=True, min_context=60), 59),
    (BlockTopK(SIZE, 2, aligned=True, min_context=60), 60),
    (Quest(SIZE, 2, aligned=True, min_context=60), 59),
    (BlockTopK(SIZE, 6, aligned=True, min_context=20), 40),  # long enough, but nothing to choose
]


@pytest.mark.parametrize(("policy", "longest"), LAUNCHING, ids=str)
def test_the_engine_launches_what_the_policy_says(monkeypatch, policy, longest):
    """Every run of a kernel that searches is counted as it runs, in the branch that is taken."""
    ran: list[str] = []
    for name in ("page_scores", "select_pages"):
        real = getattr(pk, name)

        def counted(*arguments, _real=real, _name=name, **options):
            jax.debug.callback(lambda: ran.append(_name))
            return _real(*arguments, **options)

        monkeypatch.setattr(pk, name, counted)
    lengths = [longest, 0, 5, 17, longest - 1, longest // 2]
    one = step(lengths, kinds=max(policy.summaries_per_block, 1))
    out = jax.jit(lambda one: attend_step(policy, one))(one)
    jax.block_until_ready(out)
    jax.effects_barrier()
    assert len(ran) == int(policy.launches(np.array(lengths)).max())
    assert np.isfinite(np.asarray(out)).all()
