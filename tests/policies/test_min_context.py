"""``min_context``: everything is read while a sequence is shorter, and nothing changes from there on."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinetics_jax.costs import price
from kinetics_jax.errors import InputError
from kinetics_jax.policies import (
    BlockTopK,
    Dense,
    PerLayer,
    Policy,
    Quest,
    RandomSelect,
    SlidingWindow,
    SparsePolicy,
    StridedBlockTopK,
    TopK,
    parse_policy,
    policy_from_dict,
    policy_from_stored,
    policy_to_dict,
    registry,
)
from kinetics_jax.sweep.shares import policy_slug
from tests.policies.slow_policies import kept

PLAIN = (
    TopK(5, local=3),
    BlockTopK(4, 3, local=2),
    BlockTopK(4, 3, local=2, aligned=True),
    Quest(8, 2, sink=0),
    Quest(8, 2, sink=0, aligned=True),
    StridedBlockTopK(8, 2, 4, local=4),
    SlidingWindow(9),
    SlidingWindow(9, page_size=4),
    RandomSelect(6, local=2, seed=7),
)
SIZE = 90


def since(policy: Policy, context: int) -> Policy:
    return dataclasses.replace(policy, min_context=context)  # type: ignore[call-arg]


def test_every_sparse_policy_of_ours_has_it():
    ours = {cls for cls in registry.values() if cls.__module__.startswith("kinetics_jax.")}
    assert {cls for cls in ours if not issubclass(cls, SparsePolicy)} == {Dense, PerLayer}
    assert {type(policy) for policy in PLAIN} == ours - {Dense, PerLayer}


@pytest.mark.parametrize("plain", PLAIN, ids=str)
@settings(max_examples=40, deadline=None)
@given(context=st.integers(0, SIZE + 10), seed=st.integers(0, 99))
def test_each_row_is_dense_below_and_the_plain_policy_from_there_on(plain, context, seed):
    """Ragged batches with rows on both sides, against the plain policy and against sets built row by row."""
    rng = np.random.default_rng(seed)
    near = np.clip(context + np.array([-1, 0, 1]), 0, SIZE)
    lengths = np.concatenate([near, rng.integers(0, SIZE + 1, 3)])
    scores = rng.normal(size=(6, 2, SIZE)).astype(np.float32)
    streams = np.arange(6)
    policy = since(plain, context)
    keep = np.broadcast_to(policy.keep(scores, lengths, streams), scores.shape)
    whole = lengths < context
    expected = np.broadcast_to(plain.keep(scores, lengths, streams), scores.shape)
    exist = np.broadcast_to((np.arange(SIZE) < lengths[:, None])[:, None], scores.shape)
    assert (keep == np.where(whole[:, None, None], exist, expected)).all()
    if not isinstance(plain, RandomSelect):
        for row, head in np.ndindex(6, 2):
            found = set(np.flatnonzero(keep[row, head]).tolist())
            assert found == kept(policy, scores[row, head, : lengths[row]])
    assert (policy.kv_reads(lengths) == np.where(whole, lengths, plain.kv_reads(lengths))).all()
    assert (policy.summary_reads(lengths) == np.where(whole, 0, plain.summary_reads(lengths))).all()


@pytest.mark.parametrize("plain", PLAIN, ids=str)
@pytest.mark.parametrize("context", [1, 17, 64, 301, 10_000])
def test_what_is_skipped_never_falls(plain, context):
    """What ``costs.step_sums`` searches in."""
    lengths = np.arange(600)
    skipped = lengths - since(plain, context).kv_reads(lengths)
    assert (np.diff(skipped) >= -1e-9).all()
    assert (skipped[:context] == 0).all()


@pytest.mark.parametrize("plain", PLAIN, ids=str)
def test_none_is_the_policy_from_before(plain):
    assert since(plain, 0) == plain
    assert "min_context" not in policy_to_dict(plain)
    assert policy_from_stored(policy_to_dict(plain) | {"min_context": 0}) == plain
    lengths = np.arange(200)
    for found, old in ((plain.kv_reads, plain.sparse_kv_reads), (plain.keep, plain.sparse_keep)):
        if plain.pages is None and found == plain.kv_reads:
            assert found(lengths).dtype == old(lengths).dtype
            np.testing.assert_array_equal(found(lengths), old(lengths))


@pytest.mark.parametrize("plain", PLAIN, ids=str)
def test_labels_texts_and_folders_say_it_where_it_is_set(plain):
    policy = since(plain, 8192)
    assert policy.label == f"{plain.label} from 8,192"
    fields = policy_to_dict(policy)
    assert list(fields.items()) == [*policy_to_dict(plain).items(), ("min_context", 8192)]
    assert policy_from_dict(fields) == policy == policy_from_stored(fields) != plain
    assert policy_slug(policy) == f"{policy_slug(plain)}-min_context8192"
    assert policy.kv_budget == plain.kv_budget
    assert since(plain, 64).on_pages(plain.natural_page or 8).min_context == 64
    text = ", ".join(f"{k}={v!r}" for k, v in fields.items() if k != "name")
    assert parse_policy(f"{policy.name}({text})") == policy


def test_it_is_a_keyword_and_a_count():
    assert parse_policy("block_topk(16, 64, min_context=8192)") == BlockTopK(16, 64, min_context=8192)
    assert BlockTopK(16, 64, min_context=8192).label == "block top-k 16×64 from 8,192"
    with pytest.raises(InputError, match="at most 4 values by position"):
        parse_policy("block_topk(16, 64, 0, 4, 8192)")
    for wrong in ("-1", "2.5", "None", "'8k'", "True", str(2**40)):
        with pytest.raises(InputError, match=r"min_context=.* must be an integer ≥ 0"):
            parse_policy(f"topk(4, min_context={wrong})")
    with pytest.raises(InputError, match=r"unknown|takes"):
        parse_policy("dense(min_context=4)")


def test_layers_have_their_own():
    inner = (Dense(), TopK(4, sink=0, min_context=20), BlockTopK(4, 1, sink=0, min_context=40))
    policy = PerLayer(inner)
    lengths = np.array([19, 20, 39, 48])
    assert (policy.kv_reads(lengths) * 3).tolist() == [57, 44, 82, 48 + 4 + 4]
    assert policy.launches(np.array([39, 40])).tolist() == [0, 2 / 3]
    assert policy_from_dict(policy_to_dict(policy)) == policy
    assert policy.on_pages(4).at_layer(2).min_context == 40
    assert policy.label == "per layer (dense, top-k 4 from 20, block top-k 4×1 from 40)"


def test_the_paper_has_no_price_for_it():
    policy = BlockTopK(16, 64, min_context=8192)
    for options in ({"mode": "paper"}, {"mode": "reference"}, {"mode": "exact", "terms": "paper"}):
        with pytest.raises(InputError, match="the paper has no cost for it"):
            price("qwen3-8b", policy, 100, 1000, 8, chip="b200", **options)


@pytest.mark.parametrize("prompt", [1, 3000, 5000])
def test_a_price_is_dense_up_to_there_and_sparse_after(prompt):
    """A request below it costs what dense costs; one above lies between dense and the plain policy."""
    ask = {"chip": "b200", "batch": 8}
    dense, plain, policy = Dense(), Quest(16, 32), Quest(16, 32, min_context=4096)
    below = max(4096 - prompt, 0)  # the step after the last has a context of 4096
    for length in (below, below + 3000):
        costs = [price("qwen3-8b", p, prompt, length, 4, **ask) for p in (dense, policy, plain)]
        for term in ("attention", "search"):
            moved = [cost.terms[term].bytes for cost in costs]
            if length == below:
                assert moved[1] == moved[0]
            elif prompt > 4096:
                assert moved[1] == moved[2]
            else:
                assert min(moved[0], moved[2]) < moved[1] < max(moved[0], moved[2])


@pytest.mark.parametrize("policy", [*PLAIN, Dense()], ids=str)
def test_launches_are_those_of_a_search(policy):
    lengths = np.arange(300).reshape(3, 100)
    launches = policy.launches(lengths)
    assert launches.shape == lengths.shape
    assert (launches == np.where(policy.summary_reads(lengths) > 0, 2, 0)).all()
    searches = isinstance(policy, BlockTopK | StridedBlockTopK)
    assert launches.any() == searches
    assert not launches[0, :8].any()  # nothing to choose yet
    if searches:
        late = since(policy, 150).launches(lengths)
        assert not late[lengths < 150].any()
        assert (late[lengths >= 150] == 2).all()


def test_a_policy_may_say_how_many_launches_its_search_takes():
    @dataclasses.dataclass(frozen=True)
    class Fused(BlockTopK):
        name = "fused_for_a_test"
        search_launches = 1

    try:
        assert Fused(4, 1, sink=0).launches(np.array([4, 60])).tolist() == [0, 1]
    finally:
        registry.pop("fused_for_a_test")


def test_launches_take_jax_arrays_and_numbers():
    jnp = pytest.importorskip("jax.numpy")
    policy = BlockTopK(4, 1, min_context=50)
    assert type(policy.launches(jnp.arange(60))).__module__.startswith("jax")
    assert int(policy.launches(49)) == 0
    assert int(policy.launches(50)) == 2
    stored = policy_from_stored({"name": "not_here", "x": 1})
    with pytest.raises(InputError, match="not known here"):
        stored.launches(np.arange(3))


@dataclasses.dataclass(frozen=True)
class _Newest(SparsePolicy):
    """A user's own: what it fills in is of contexts from ``min_context`` on."""

    count: int = 4

    @property
    def kv_budget(self) -> int:
        return self.count

    @property
    def sparse_label(self) -> str:
        return f"newest {self.count}"

    def sparse_kv_reads(self, lengths):
        return np.minimum(lengths, self.count)

    def sparse_keep(self, scores_bks, lengths_b, streams_b):
        position = np.arange(scores_bks.shape[-1])
        ends = lengths_b[:, None, None]
        return (position < ends) & (position >= ends - self.count)


def test_a_policy_of_ones_own_gets_it_by_its_base():
    policy = _Newest(3, min_context=6)
    assert policy.label == "newest 3 from 6"
    lengths = np.array([2, 5, 6, 9])
    assert policy.kv_reads(lengths).tolist() == [2, 5, 3, 3]
    keep = policy.keep_mask(np.zeros((4, 1, 9)), lengths, 1)
    assert keep.sum(-1).ravel().tolist() == [2, 5, 3, 3]
