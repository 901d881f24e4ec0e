"""Many tokens at once against the engine's paged cache, one step at a time: the same keys are read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.attention import ContiguousCache, PagedCache, PagedPlan, SelectiveCache
from kinetics_jax.errors import InputError
from kinetics_jax.policies import parse_policy
from kinetics_jax.shapes import presets

CONFIG = presets["tiny-dense"]
PREFIX, SPAN, SIZE = 45, 20, 8
TOKENS = jnp.asarray(np.random.default_rng(5).integers(0, 256, (2, PREFIX + SPAN)))
PREFIXES = jnp.array([PREFIX, PREFIX - 7])
POLICIES = [
    "block_topk(8, 2, aligned=True)",
    "quest(8, 2, aligned=True)",
    "block_topk(8, 1, local=9, sink=0, aligned=True, dense_layers=0)",
    "quest(8, 2, dense_layers=2, aligned=True)",
    "topk(6)",
    "topk(5, local=3, dense_layers=0)",
    "sliding_window(11)",
    "block_topk(4, 3)",
    "strided_block_topk(4, 2, 2)",
    "random_select(9)",
    "block_topk(8, 2, aligned=True, min_context=56)",
    "quest(8, 2, aligned=True, dense_layers=0, min_context=50)",
    "topk(6, min_context=52)",
    "dense",
]


@pytest.fixture(scope="module")
def model():
    """Wide weights, so that attention is peaked and what is read decides."""
    made = models.Qwen3.init(CONFIG, jax.random.key(0), dtype="float32")
    return jax.tree.map(lambda x: x * 8 if x.ndim > 2 else x, made)


def _prefilled(model, cache):
    return models.prefill(model, cache, TOKENS[:, :PREFIX], PREFIXES)[1]


def _paged(policy) -> PagedCache:
    """Two sequences with pages of their own, in no order."""
    places = 10
    plan = PagedPlan.of(CONFIG, policy, page_size=SIZE, pool_pages=2 * places + 1, rows=2)
    pool, summaries = plan.make_pool(CONFIG, places, jnp.float32, CONFIG.head_dim)
    table = np.random.default_rng(1).permutation(np.arange(1, 2 * places + 1)).reshape(2, places)
    two = jnp.arange(2)
    return PagedCache(pool, summaries, jnp.asarray(table), jnp.zeros(2, int), two, two, plan)


def _span(model, cache):
    """Logits of both sequences' next SPAN tokens, all read at once."""
    x, cache = model.hidden(_next(), cache, jnp.full(2, SPAN))
    return model.logits(x), cache


def _next():
    return jnp.stack([TOKENS[b, n : n + SPAN] for b, n in enumerate((PREFIX, PREFIX - 7))])


@pytest.mark.parametrize("text", POLICIES)
def test_a_span_reads_what_steps_of_the_engine_read(text, model):
    policy = parse_policy(text)
    held = _prefilled(model, ContiguousCache.zeros(CONFIG, 2, 70, dtype=jnp.float32))
    found, after = jax.jit(_span)(model, SelectiveCache.of(held, policy))
    cache = _prefilled(model, _paged(policy))
    step, each = jax.jit(models.decode_step), []
    for token_b in _next().T:
        logits, cache = step(model, cache, token_b)
        each.append(logits)
    expected = jnp.stack(each, axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-4 * float(jnp.abs(expected).max()))
    np.testing.assert_array_equal(after.lengths_b, cache.lengths_b)
    dense, _ = jax.jit(_span)(model, held)
    moved = float(jnp.abs(found - dense).max() / jnp.abs(dense).max())
    assert moved < 1e-5 if text == "dense" or "dense_layers=2" in text else moved > 0.01


@pytest.mark.parametrize("text", ["quest(8, 9, aligned=True)", "topk(65)", "sliding_window(70)"])
def test_a_budget_of_everything_is_dense(text, model):
    held = _prefilled(model, ContiguousCache.zeros(CONFIG, 2, 70, dtype=jnp.float32))
    found, _ = jax.jit(_span)(model, SelectiveCache.of(held, parse_policy(text)))
    dense, _ = jax.jit(_span)(model, held)
    np.testing.assert_allclose(found, dense, rtol=1e-4, atol=1e-4)


def test_only_real_tokens_are_stored(model):
    held = ContiguousCache.zeros(CONFIG, 2, 70, dtype=jnp.float32)
    cache = SelectiveCache.of(held, parse_policy("topk(4)"))
    _, cache = model.hidden(TOKENS[:, :9], cache, jnp.array([9, 4]))
    np.testing.assert_array_equal(cache.lengths_b, [9, 4])
    assert jnp.abs(cache.held.key_lbksh[:, 1, :, 3]).min() > 0
    assert not cache.held.key_lbksh[:, 1, :, 4:].any()


def test_no_room_is_nan_not_a_wrong_answer(model):
    cache = SelectiveCache.of(
        ContiguousCache.zeros(CONFIG, 2, 16, dtype=jnp.float32), parse_policy("topk(4)")
    )
    x, _ = model.hidden(TOKENS[:, :18], cache, jnp.array([18, 18]))
    np.testing.assert_array_equal(jnp.isnan(x).all(-1), np.arange(18) >= 16 + np.zeros((2, 1)))


def test_bounds_need_pages():
    held = ContiguousCache.zeros(CONFIG, 1, 8)
    with pytest.raises(InputError, match="give it aligned=True"):
        SelectiveCache.of(held, parse_policy("quest(8, 2)"))
