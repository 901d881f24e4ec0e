"""The paged cache against the contiguous one and against each policy's own mask.

Axis letters: B sequence · T new token · N query heads · K KV heads · S context.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax.attention import ContiguousCache, PagedCache, PagedPlan
from kinetics_jax.errors import InputError
from kinetics_jax.policies import (
    BlockTopK,
    Dense,
    PerLayer,
    Quest,
    RandomSelect,
    SlidingWindow,
    StridedBlockTopK,
    TopK,
)
from kinetics_jax.shapes import presets

CONFIG = presets["tiny-dense"]  # N = 4, K = 2, H = 32, two layers
PAGE, PLACES, B = 8, 8, 3
_attend = jax.jit(lambda cache, layer, *new: cache.attend(layer, *new), static_argnums=(1,))


def paged(policy, seed=0) -> PagedCache:
    """Three sequences whose pages lie scattered in a pool full of NaN."""
    plan = PagedPlan.of(CONFIG, policy, page_size=PAGE, pool_pages=40, rows=B)
    pool, summaries = plan.make_pool(CONFIG, PLACES, jnp.float32, CONFIG.head_dim)
    pages = np.random.default_rng(seed).permutation(np.arange(1, 40))[: B * PLACES]
    return PagedCache(
        kv_pages=jnp.full_like(pool, jnp.nan),
        summaries=None if summaries is None else jnp.full_like(summaries, jnp.nan),
        page_table_bp=jnp.asarray(pages.reshape(B, PLACES), jnp.int32),
        lengths_b=jnp.zeros(B, jnp.int32),
        rows_b=jnp.arange(B, dtype=jnp.int32),
        streams_b=jnp.array([3, 1, 4], jnp.int32),
        plan=plan,
    )


def draw(T, seed):
    keys = jax.random.split(jax.random.key(seed), 3)
    heads = (CONFIG.num_query_heads, CONFIG.num_kv_heads, CONFIG.num_kv_heads)
    return [jax.random.normal(k, (B, T, n, CONFIG.head_dim)) for k, n in zip(keys, heads, strict=True)]


def prefilled(policy, lengths):
    """A paged and a contiguous cache that hold the same tokens in layer 1."""
    query, key, value = draw(max(lengths), 7)
    counts = jnp.asarray(lengths)
    whole = ContiguousCache.zeros(CONFIG, B, PAGE * PLACES, dtype=jnp.float32)
    ours = paged(policy)
    out, ours = _attend(ours, 1, query, key, value, counts)
    expected, whole = _attend(whole, 1, query, key, value, counts)
    for b, length in enumerate(lengths):
        np.testing.assert_allclose(out[b, :length], expected[b, :length], atol=2e-6)
    return ours.advance(counts), whole.advance(counts)


@pytest.mark.parametrize("policy", [Dense(), BlockTopK(PAGE, 8, aligned=True)], ids=lambda p: p.name)
def test_dense_equals_contiguous_in_poisoned_memory(policy):
    """Prefill of ragged lengths, then decode steps in which one sequence stands still."""
    ours, whole = prefilled(policy, [1, 16, 37])
    for turn in range(20):
        counts = jnp.array([1, 1, turn % 2])
        new = draw(1, 100 + turn)
        out, ours = _attend(ours, 1, *new, counts)
        expected, whole = _attend(whole, 1, *new, counts)
        ours, whole = ours.advance(counts), whole.advance(counts)
        busy = counts > 0
        np.testing.assert_allclose(out[busy], expected[busy], atol=2e-6)
    assert ours.lengths_b.tolist() == [21, 36, 47]


SPARSE = (
    BlockTopK(PAGE, 2, sink=0, aligned=True),
    BlockTopK(PAGE, 1, sink=4, local=9, aligned=True),
    SlidingWindow(10, sink=4, page_size=PAGE),
    BlockTopK(4, 3, sink=4),
    StridedBlockTopK(8, 2, 4),
    TopK(6, local=2),
    RandomSelect(5, local=2),
    SlidingWindow(10),
    BlockTopK(PAGE, 2, sink=0, aligned=True, min_context=32),  # rows 0 and 1 are read whole
    BlockTopK(PAGE, 1, sink=4, local=9, aligned=True, min_context=31),  # row 1 is the first to choose
    Quest(4, 2, min_context=40),
    SlidingWindow(10, sink=4, page_size=PAGE, min_context=50),
    TopK(6, local=2, min_context=61),
    RandomSelect(5, local=2, min_context=32),
)


@pytest.mark.parametrize("policy", SPARSE, ids=str)
def test_a_step_reads_what_the_policy_keeps(policy):
    """Against softmax over ``policy.keep`` of the true logits: the contract between engine and cost model."""
    policy = dataclasses.replace(policy, dense_layers=1)
    ours, whole = prefilled(policy, [5, 30, 60])
    query, key, value = draw(1, 9)
    out, _ = _attend(ours, 1, query, key, value, jnp.ones(B, jnp.int32))
    _, whole = _attend(whole, 1, query, key, value, jnp.ones(B, jnp.int32))
    key_bksh, value_bksh = np.asarray(whole.key_lbksh[1]), np.asarray(whole.value_lbksh[1])
    lengths = np.array([6, 31, 61])
    G = CONFIG.queries_per_kv
    logits = np.einsum("bnh,bnsh->bns", query[:, 0], key_bksh.repeat(G, 1)) / np.sqrt(32)
    scores = logits.reshape(B, CONFIG.num_kv_heads, G, -1).mean(2)
    # Layer 1 of a sequence draws from the stream next to layer 0's.
    keep = policy.keep(scores, lengths, np.array([3, 1, 4]) + 1)
    keep = np.broadcast_to(keep, scores.shape).repeat(G, 1)
    assert (keep.sum(-1) <= lengths[:, None]).all()
    assert (keep[2].sum(-1) < 61).all()
    logits = np.where(keep, logits, -np.inf)
    share = np.exp(logits - logits.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    expected = np.einsum("bns,bnsh->bnh", share, value_bksh.repeat(G, 1))
    np.testing.assert_allclose(out[:, 0], expected, atol=3e-6)


def test_quest_ranks_pages_by_the_bound_of_their_keys():
    policy = Quest(PAGE, 2, sink=0, aligned=True, dense_layers=0)
    ours, whole = prefilled(policy, [40, 40, 40])
    query, key, value = draw(1, 9)
    out, _ = _attend(ours, 1, query, key, value, jnp.ones(B, jnp.int32))
    _, whole = _attend(whole, 1, query, key, value, jnp.ones(B, jnp.int32))
    keys, values = (np.asarray(x[1])[:, :, :41] for x in (whole.key_lbksh, whole.value_lbksh))
    for b, k in np.ndindex(B, CONFIG.num_kv_heads):
        q = np.asarray(query[b, 0, 2 * k : 2 * k + 2])
        pages = [keys[b, k, s : s + PAGE] for s in range(0, 41, PAGE)]
        bound = [np.maximum(q * page.min(0), q * page.max(0)).sum(-1).mean() for page in pages[:-1]]
        chosen = sorted([*np.argsort(bound)[-2:].tolist(), 5])
        at = np.concatenate([np.arange(p * PAGE, min((p + 1) * PAGE, 41)) for p in chosen])
        logits = q @ keys[b, k, at].T / np.sqrt(32)
        share = np.exp(logits - logits.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        np.testing.assert_allclose(out[b, 0, 2 * k : 2 * k + 2], share @ values[b, k, at], atol=3e-6)


def test_a_layer_that_is_data_follows_its_own_policy():
    """Under a scan the layer is traced; the branch taken is the one a known layer takes."""
    policy = PerLayer((Dense(), BlockTopK(PAGE, 1, aligned=True, dense_layers=0)))
    ours, _ = prefilled(policy, [30, 50, 60])
    new = draw(1, 3)
    traced = jax.jit(lambda cache, layer, *new: cache.attend(layer, *new))
    counts = jnp.ones(B, jnp.int32)
    known, _ = _attend(ours, 1, *new, counts)
    np.testing.assert_array_equal(traced(ours, jnp.int32(1), *new, counts)[0], known)
    dense, _ = _attend(dataclasses.replace(ours, plan=paged(Dense()).plan), 1, *new, counts)
    assert np.abs(known - dense).max() > 1e-3


def copies(policy) -> list[str]:
    """Copies of the pool or the summaries in a program that attends in every layer and gives both back."""
    cache = paged(policy)

    def layers(cache, *new):
        one = lambda cache, layer: cache.attend(layer, *new, jnp.ones(B, jnp.int32))[::-1]  # noqa: E731
        return jax.lax.scan(one, cache, jnp.arange(CONFIG.num_layers))

    text = jax.jit(layers, donate_argnums=0).lower(cache, *draw(1, 3)).compile().as_text()
    assert ("min_context=0" in str(policy)) == ("conditional(" not in text)
    shapes = [f"f32[{','.join(map(str, array.shape))}]" for array in (cache.kv_pages, cache.summaries)]
    lines = [line.split(" copy(")[0] for line in text.splitlines() if " copy(" in line]
    return [shape for line in lines for shape in shapes if f"= {shape}" in line]


def test_a_choice_of_two_ways_copies_no_pool():
    """A conditional inside the scan over layers reads pool and summaries where they lie."""
    policy = BlockTopK(PAGE, 2, aligned=True, dense_layers=0)
    assert copies(dataclasses.replace(policy, min_context=40)) == copies(policy)


def test_one_kind_of_summary_per_cache():
    mixed = PerLayer((BlockTopK(8, 2, aligned=True), Quest(8, 2, aligned=True)))
    with pytest.raises(InputError, match="one kind of summary"):
        PagedPlan.of(CONFIG, mixed, page_size=8, pool_pages=4, rows=1)
