"""The exact mode: laws it must obey, terms against brute force, and bad input."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax.costs import Serving, chips, feasible_batch, price
from kinetics_jax.costs.request import Request
from kinetics_jax.costs.step_sums import StepSums
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

POLICIES = [
    Dense(),
    TopK(64),
    BlockTopK(16, 4),
    BlockTopK(16, 4, local=32, dense_layers=0),
    Quest(16, 4),
    StridedBlockTopK(16, 4, 8),
    SlidingWindow(64),
    RandomSelect(64),
    TopK(64, min_context=250),
    BlockTopK(16, 4, min_context=150),
    Quest(16, 2, aligned=True, min_context=1500),
    PerLayer((Dense(), BlockTopK(16, 2, min_context=170), BlockTopK(16, 2)) * 12),
]
MODELS = ["qwen3-0.6b", "qwen3-8b", "qwen3-30b-a3b", "r1-distill-qwen-7b"]
policies, models = st.sampled_from(POLICIES[:-1]), st.sampled_from(MODELS)
tokens, trials = st.integers(0, 3000), st.integers(1, 64)
OPTIONS = st.fixed_dictionaries(
    {
        "share_prefix": st.booleans(),
        "prefill": st.booleans(),
        "oracle_search": st.booleans(),
        "kv_dtype": st.sampled_from(["bfloat16", "int8"]),
        "tensor_parallel": st.sampled_from([None, 1, 8]),
        "overlap": st.sampled_from(["sum", "max", "roofline"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(models, policies, tokens, tokens, trials, OPTIONS)
def test_costs_are_never_negative_and_grow_with_work(model, policy, prompt, length, n, options):
    cost = price(model, policy, prompt, [length, length + 1, length + 700], n, chip="h200", **options)
    for term in cost.terms.values():
        assert np.all(np.asarray(term.flops) >= 0)
        assert np.all(np.asarray(term.bytes) >= 0)
        assert np.all(np.asarray(term.wire_bytes) >= 0)
    assert np.all(np.diff(cost.eflops) >= 0)
    more = price(model, policy, prompt, length, [n, n + 1], chip="h200", **options)
    assert np.diff(more.eflops) >= 0


@settings(max_examples=80, deadline=None)
@given(models, tokens, tokens, trials, OPTIONS)
def test_a_budget_of_at_least_the_context_costs_the_same_as_dense(model, prompt, length, n, options):
    context = max(prompt + length, 1)
    for policy in (TopK(context), BlockTopK(16, -(-context // 16)), SlidingWindow(context)):
        ours = price(model, policy, prompt, length, n, chip="b200", **options)
        dense = price(model, Dense(), prompt, length, n, chip="b200", **options)
        np.testing.assert_allclose(ours.eflops, dense.eflops, rtol=1e-12)


@settings(max_examples=80, deadline=None)
@given(policies, tokens, tokens, trials, st.booleans())
def test_sharing_the_prompt_never_costs_more_and_sparse_never_reads_more(policy, prompt, length, n, oracle):
    kwargs = {"chip": "b200", "oracle_search": oracle}
    shared = price("qwen3-4b", policy, prompt, length, n, **kwargs)
    alone = price("qwen3-4b", policy, prompt, length, n, share_prefix=False, **kwargs)
    assert shared.memory_bytes <= alone.memory_bytes * (1 + 1e-12)
    dense = price("qwen3-4b", Dense(), prompt, length, n, **kwargs)
    assert shared.terms["attention"].bytes <= dense.terms["attention"].bytes * (1 + 1e-12)
    if n == 1:
        assert shared.eflops == pytest.approx(float(alone.eflops))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(POLICIES), st.integers(0, 200), st.integers(0, 200), st.integers(1, 9))
def test_step_sums_equal_a_loop_over_steps(policy, prompt, length, n):
    request = Request(presets["qwen3-8b"], policy, np.array(prompt), np.array(length), np.array(n))
    sums = StepSums(policy, request)
    reads = shared = summaries = distinct = 0.0
    layers = policy.layers if isinstance(policy, PerLayer) else (policy,)
    for t in range(length):
        read = policy.kv_reads(np.array(prompt + t))
        reads += read
        shared += (n - 1) * min(read, t) + read
        summaries += policy.summary_reads(np.array(prompt + t))
        for layer in layers:
            read = float(layer.summary_reads(np.array(prompt + t)))
            whole = getattr(layer, "min_context", 0)
            plain = dataclasses.replace(layer, min_context=0) if whole else layer
            of_prompt = float(plain.summary_reads(np.array(prompt))) if prompt + t >= whole else 0.0
            distinct += (of_prompt + n * (read - of_prompt)) / len(layers)
    np.testing.assert_allclose(sums.reads(), reads)
    np.testing.assert_allclose(sums.distinct_reads(), shared)
    np.testing.assert_allclose(sums.summaries(), summaries)
    np.testing.assert_allclose(sums.distinct_summaries(), distinct)


def test_dense_terms_against_hand_arithmetic():
    """Every term of a dense model on two chips, by hand."""
    model, prompt, length, n, batch = presets["qwen3-8b"], 100, 50, 4, 16
    cost = price(
        model, Dense(), prompt, length, n, chip="h100", batch=batch, tensor_parallel=2, kv_dtype="int8"
    )
    contexts = [prompt + t for t in range(length)]
    per_read = 4 * model.num_layers * model.num_query_heads * model.head_dim
    kv_bytes = 2 * model.num_layers * model.num_kv_heads * model.head_dim
    tokens = n * length
    P, layer_params = model.matmul_params, model.matmul_params - model.embedding_params
    t = cost.terms
    assert t["linear"].flops == 2 * P * tokens
    assert t["linear"].bytes == pytest.approx(2 * P * tokens / batch)
    assert t["attention"].flops == n * per_read * sum(contexts)
    own = sum(range(length))
    assert t["attention"].bytes == kv_bytes * (length * prompt + n * own)
    assert t["kv_write"].bytes == kv_bytes * tokens
    causal = sum(range(1, prompt))
    assert t["prefill"].flops == 2 * layer_params * 99 + per_read * causal
    assert t["prefill"].bytes == 99 * kv_bytes
    wire = 2 * 2 * (2 - 1) * model.model_dim * 2 * model.num_layers
    assert t["collectives"].wire_bytes == wire * (tokens + 99)
    assert t["search"].bytes == t["experts"].flops == 0
    shares = sum(float(cost.share(name)) for name in t)
    assert shares == pytest.approx(1.0)


def test_sparse_terms_charge_sinks_remainder_layer_zero_and_search():
    model, policy = presets["qwen3-8b"], BlockTopK(16, 4)
    cost = price(model, policy, 1000, 1, chip="h200", prefill=False)
    blocks, remainder = divmod(1000 - 4, 16)
    element_bytes = 2
    per_layer = 2 * model.num_kv_heads * model.head_dim * element_bytes
    sparse_layers = model.num_layers - 1
    expected = per_layer * (1000 + sparse_layers * (4 + 64 + remainder))
    assert cost.terms["attention"].bytes == pytest.approx(expected)
    assert cost.terms["search"].bytes == pytest.approx(per_layer / 2 * sparse_layers * blocks)
    twice = price(model, Quest(16, 4), 1000, 1, chip="h200", prefill=False).terms["search"]
    assert twice.bytes == 2 * cost.terms["search"].bytes


def test_oracle_search_reads_the_keys_that_attention_does_not():
    model = presets["qwen3-8b"]
    free = price(model, TopK(64, dense_layers=0), 1000, 1, chip="h200")
    paid = price(model, TopK(64, dense_layers=0), 1000, 1, chip="h200", oracle_search=True)
    keys = model.kv_bytes_per_token() / 2 * (1000 - 68)
    assert free.terms["search"].bytes == 0
    assert paid.terms["search"].bytes == keys


def test_experts_are_read_as_often_as_the_batch_needs_them():
    """b = 1 reads k experts; a huge batch reads all E once a step (E(1 − (1 − k/E)^b))."""
    model = presets["qwen3-30b-a3b"]
    moe = model.moe
    one = price(model, Dense(), 10, 1, chip="b200", batch=1).terms["experts"].bytes
    assert one == pytest.approx(moe.experts_per_token * model.expert_params * model.num_layers * 2)
    many = price(model, Dense(), 10, 1, chip="b200", batch=1e6).terms["experts"].bytes
    assert many * 1e6 == pytest.approx(moe.num_experts * model.expert_params * model.num_layers * 2)
    rng = np.random.default_rng(0)
    drawn = [len({e for _ in range(20) for e in rng.choice(128, 8, replace=False)}) for _ in range(400)]
    twenty = price(model, Dense(), 10, 1, chip="b200", batch=20).terms["experts"].bytes * 20
    assert twenty / (model.expert_params * model.num_layers * 2) == pytest.approx(np.mean(drawn), rel=0.01)


def test_the_batch_is_what_fits():
    model = presets["qwen3-8b"]
    cost = price(model, Dense(), 1000, 7000, chip="h200")
    free = 0.9 * 141e9 - 2 * model.total_params
    assert cost.batch == feasible_batch(model, chips.h200, 8000) == free // (147_456 * 8000)
    assert cost.num_chips == 1
    assert price(model, Dense(), 1000, 7000, chip="tpu_v5e").num_chips == 4
    halved = feasible_batch(model, chips.h200, 8000, serving=Serving(kv_dtype="int8"))
    assert halved in (2 * cost.batch, 2 * cost.batch + 1)


@pytest.mark.parametrize("policy", [Dense(), TopK(512), BlockTopK(16, 32)], ids=lambda p: p.label)
@pytest.mark.parametrize("mode", ["exact", "paper", "reference"])
def test_huge_products_do_not_wrap(policy, mode):
    """10⁵ trials of 32K tokens on the largest model: beyond 64-bit integers in several terms."""
    request = {"chip": "b200", "mode": mode}
    one = price("qwen3-235b-a22b", policy, 300, np.array([32_768]), 1, **request)
    many = price("qwen3-235b-a22b", policy, 300, np.array([32_768]), np.array([100_000]), **request)
    for cost in (one, many):
        assert np.all(cost.compute_flops > 0)
        assert np.all(cost.memory_bytes > 0)
    flops = many.terms["linear"].flops + many.terms["attention"].flops
    each = one.terms["linear"].flops + one.terms["attention"].flops
    np.testing.assert_allclose(flops, 1e5 * each, rtol=1e-9)


def test_overlap_models_are_ordered():
    """max ≤ roofline ≤ sum: the more may overlap, the cheaper."""
    costs = {
        o: float(price("qwen3-8b", BlockTopK(16, 64), 500, 9000, 8, chip="b200", overlap=o).eflops)
        for o in ("max", "roofline", "sum")
    }
    assert costs["max"] < costs["roofline"] < costs["sum"]


def test_dollars_and_seconds():
    cost = price("qwen3-8b", Dense(), 100, 100, chip="h100")
    assert cost.seconds == pytest.approx(float(cost.eflops) / 989e12)
    assert cost.dollars == pytest.approx(float(cost.seconds) * chips.h100.usd_per_hour / 3600)
    with pytest.raises(InputError, match="no list price"):
        _ = price("qwen3-8b", Dense(), 100, 100, chip="tpu7x").dollars


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "qwen3-9b"}, "unknown model 'qwen3-9b': did you mean"),
        ({"chip": "b20"}, "unknown chip 'b20'"),
        ({"chip": "nowhere.toml"}, "nowhere.toml: cannot be read"),
        ({"prompt_tokens": -1}, "prompt_tokens = -1 must be a whole number ≥ 0"),
        ({"generated_tokens": [5, float("nan")]}, r"generated_tokens\[1\] = nan"),
        ({"generated_tokens": 2.5}, "2.5 must be a whole number"),
        ({"generated_tokens": "many"}, "must be whole numbers"),
        ({"trials": 0}, "trials = 0 must be a whole number ≥ 1"),
        ({"mode": "papr"}, "mode='papr' must be one of"),
        ({"overlap": "none"}, "overlap='none' must be one of"),
        ({"mode": "paper", "batch": 8}, "batch: not read in mode='paper'"),
        ({"mode": "paper", "terms": "paper"}, "terms='paper' must be"),
        ({"batchsize": 8}, "price has no option batchsize"),
        ({"batch": 0.5}, "at least 1 sequence"),
        ({"kv_dtype": "bf15"}, "unknown dtype"),
        ({"compute_dtype": "fp8", "chip": "a100"}, "no fp8 peak"),
        ({"params": 1e9}, "params is read by the paper's terms only"),
        ({"model": "qwen3-32b", "chip": "tpu_v5e", "tensor_parallel": 1}, "no room for one sequence"),
        ({"model": "qwen3-235b-a22b", "chip": "a100"}, "does not fit on 8 × a100"),
        ({"tensor_parallel": 16}, "links at most 8 chips"),
        ({"generated_tokens": 10**7}, "does not fit on"),
        ({"generated_tokens": 10**10}, "at most 16,777,216"),
        ({"generated_tokens": [1, 2], "trials": [1, 2, 3]}, "do not broadcast"),
        ({"policy": "dense"}, "must be a Policy"),
        ({"model": None}, "must be a ModelConfig"),
        ({"batch": "a"}, "must be one number"),
        ({"hbm_fraction": "a"}, "must be a number in"),
        ({"tensor_parallel": 1.5}, "whole number of chips"),
        ({"intensity": -1.0}, "must be positive"),
        ({"intensity": True}, "intensity=True .* must be positive"),
        ({"prompt_tokens": True}, "prompt_tokens=True must be whole numbers"),
        ({"generated_tokens": [np.bool_(True)]}, "generated_tokens=.* must be whole numbers"),
        ({"trials": "4"}, "trials='4' must be whole numbers"),
        ({"generated_tokens": np.array(["7"], object)}, "generated_tokens=.* must be whole numbers"),
        ({"generated_tokens": np.array([1 + 1j] * 999)}, "generated_tokens=.* must be whole numbers"),
        ({"prompt_tokens": 10**400}, "prompt_tokens=1000.* must be whole numbers"),
        ({"batch": True}, "batch=True must be one number"),
        ({"batch": np.ones((40, 40))}, "batch=.* must be one number"),
        ({"share_prefix": "no"}, "share_prefix='no' must be true or false"),
        ({"oracle_search": 1}, "oracle_search=1 must be true or false"),
        ({"weight_dtype": ["int8"]}, "unknown dtype"),
        ({"params": -1, "mode": "paper"}, "params=-1 must be"),
        ({"params": "8e9", "mode": "paper"}, "params='8e9' must be a finite number"),
        ({"model": ["qwen3-8b"] * 99}, "must be a ModelConfig"),
    ],
)
def test_bad_input_is_one_clear_line(change, message):
    request = {
        "model": "qwen3-8b",
        "policy": Dense(),
        "prompt_tokens": 10,
        "generated_tokens": 10,
        "trials": 1,
        "chip": "b200",
        **change,
    }
    with pytest.raises(InputError, match=message) as caught:
        price(**request)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("batch", [1, 8])
def test_dense_layers_among_experts_cost_what_they_are(batch):
    """Of a model half of whose layers have experts, each term is half-way between all and none."""
    experts = presets["qwen3-30b-a3b"]
    half = dataclasses.replace(experts, moe=dataclasses.replace(experts.moe, every=2))
    dense = dataclasses.replace(experts, moe=None)
    assert 2 * half.total_params == experts.total_params + dense.total_params
    assert 2 * half.active_params == experts.active_params + dense.active_params
    costs = [
        price(model, TopK(64), 512, 1000, 4, chip="h100", batch=batch, tensor_parallel=2)
        for model in (half, experts, dense)
    ]
    for name in costs[0].terms:
        for unit in ("flops", "bytes", "wire_bytes"):
            mixed, most, least = (np.asarray(getattr(c.terms[name], unit)) for c in costs)
            np.testing.assert_allclose(2 * mixed, most + least, rtol=1e-12, err_msg=f"{name} {unit}")


def test_numbers_of_any_library_are_priced_alike():
    plain = {
        "prompt_tokens": 10,
        "generated_tokens": 4096,
        "trials": 4,
        "batch": 8,
        "tensor_parallel": 2,
        "hbm_fraction": 0.5,
        "intensity": 300,
    }
    expected = price("qwen3-8b", Dense(), **plain, chip="b200").eflops
    for kind in (np.int64, np.float32, np.array):
        given = {
            name: kind(value) if name != "hbm_fraction" else np.float64(value)
            for name, value in plain.items()
        }
        assert price("qwen3-8b", Dense(), **given, chip="b200").eflops == expected
