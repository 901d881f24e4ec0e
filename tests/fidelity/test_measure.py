"""Fidelity of sparse decoding: what must be exact, and what the inputs must be."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.fidelity.measurement import grid, measure
from kinetics_jax.fidelity.passages import Passage, cut_passages, read_text
from kinetics_jax.fidelity.records import Fidelity
from kinetics_jax.models.tokenizers.tokenizer import ByteTokenizer
from kinetics_jax.policies import BlockTopK, Dense, Quest, SlidingWindow, TopK
from kinetics_jax.shapes import presets

CONFIG = presets["tiny-dense"]
SPAN = 12


@pytest.fixture(scope="module")
def model():
    """Wide weights, so that attention is peaked and what is read decides."""
    made = models.Qwen3.init(CONFIG, jax.random.key(0), dtype="float32")
    return jax.tree.map(lambda x: x * 8 if x.ndim > 2 else x, made)


@pytest.fixture(scope="module")
def passage():
    return Passage("noise", 2, np.random.default_rng(3).integers(0, 256, 130).astype(np.int32))


def test_losses_are_those_of_the_whole_forward_pass(model, passage):
    found = list(measure(model, passage, [80, 40, 128], [Dense()], span=SPAN))
    log_p = np.asarray(jax.nn.log_softmax(model(passage.tokens[None])[0]), np.float64)
    assert [record.context for record in found] == [40, 80, 128]
    for record in found:
        at = np.arange(record.context - SPAN, record.context)
        expected = -log_p[at, passage.tokens[at + 1]].mean()
        assert record.loss == pytest.approx(expected, rel=1e-4)
        assert record.loss == record.dense_loss
        assert (record.kl, record.agreement) == (0.0, 1.0)
        assert (record.text, record.passage, record.span) == ("noise", 2, SPAN)
        assert record.kv_reads == (at + 1).mean()


def test_reading_more_never_hurts_much_and_everything_costs_nothing(model, passage):
    policies = [
        SlidingWindow(8),
        SlidingWindow(64),
        SlidingWindow(124),
        TopK(4),
        TopK(124),
        Quest(8, 2, aligned=True),
        Quest(8, 16, aligned=True),
        BlockTopK(8, 14),
    ]
    found = {r.policy: r for r in measure(model, passage, [128], policies, span=SPAN)}
    for everything in (SlidingWindow(124), TopK(124), Quest(8, 16, aligned=True)):
        assert found[everything].kl <= 1e-6
        assert found[everything].agreement == 1.0
    assert found[SlidingWindow(8)].kl > found[SlidingWindow(64)].kl > 1e-4
    assert found[Quest(8, 2, aligned=True)].kl > 1e-3
    assert found[TopK(4)].kl > 1e-3
    assert all(record.kl >= 0 for record in found.values())


def test_kl_is_what_its_definition_says(model, passage):
    """From the engine-checked cache's logits, in float64."""
    from kinetics_jax.attention import SelectiveCache

    policy = TopK(4)
    (record,) = measure(model, passage, [60], [policy], span=SPAN)
    tokens = jnp.asarray(passage.tokens)[None]
    cache = models.make_cache(model, 1, 60)
    _, cache = models.prefill(model, cache, tokens[:, : 60 - SPAN], jnp.array([60 - SPAN]))
    both = []
    for rule in (Dense(), policy):
        x, _ = model.hidden(tokens[:, 60 - SPAN : 60], SelectiveCache.of(cache, rule), jnp.array([SPAN]))
        logits = np.asarray(model.logits(x)[0], np.float64)
        both.append(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))
    dense, sparse = both
    assert record.kl == pytest.approx((np.exp(dense) * (dense - sparse)).sum(-1).mean(), rel=1e-3)
    loss = -sparse[np.arange(SPAN), passage.tokens[60 - SPAN + 1 : 61]].mean()
    assert record.loss == pytest.approx(loss, rel=1e-4)
    same = (dense.argmax(-1) == sparse.argmax(-1)).mean()
    assert record.agreement == pytest.approx(same)


def test_what_is_done_is_not_done_again(model, passage):
    policies = [TopK(4), SlidingWindow(8)]
    first = list(measure(model, passage, [40, 80], policies, span=SPAN))
    done = {first[0].key, first[3].key}
    again = list(measure(model, passage, [40, 80], policies, span=SPAN, done=done))
    assert again == [first[1], first[2]]
    assert list(measure(model, passage, [40], policies, span=SPAN, done={r.key for r in first})) == []


@pytest.mark.parametrize(("contexts", "span"), [([12], 12), ([], 4), ([130], 12), ([40], 0)])
def test_contexts_that_do_not_fit(contexts, span, model, passage):
    with pytest.raises(InputError, match="must be longer than span"):
        list(measure(model, passage, contexts, [Dense()], span=span))


def test_the_grid_reads_no_more_than_its_budgets():
    found = grid([128, 512], [16, 64])
    lengths = np.arange(600, 5000)
    for policy in found:
        reads = policy.kv_reads(lengths)
        budget = 128 if reads.max() <= 128 else 512
        assert budget - 64 < reads.min() <= reads.max() == budget, policy.label
    assert sum(isinstance(policy, Quest) for policy in found) == 3  # 64 × 2 leaves no page to choose
    with pytest.raises(InputError, match="budget 100 is no multiple of blocks of 16"):
        grid([100], [16])
    with pytest.raises(InputError, match="budget 4 must be above"):
        grid([4], [])


def test_records_survive_their_lines(model, passage):
    (record,) = measure(model, passage, [40], [Quest(8, 2, aligned=True)], span=SPAN)
    assert Fidelity.from_json(record.to_json()) == record
    fields = json.loads(record.to_json())
    for bad in (
        record.to_json()[:-9],
        "[]",
        "{}",
        json.dumps(fields | {"kl": math.nan}),
        json.dumps(fields | {"x": 1}),
    ):
        with pytest.raises(InputError):
            Fidelity.from_json(bad)
    unknown = Fidelity.from_json(json.dumps(fields | {"policy": {"name": "no"}}))
    assert unknown.policy.name == "no"  # a log is read without its classes


def test_texts_and_their_passages(tmp_path):
    (tmp_path / "b.md").write_text("second")
    (tmp_path / "a.txt").write_text("first é")
    (tmp_path / "c.bin").write_bytes(b"\xff")
    assert read_text(tmp_path) == "first é\n\nsecond"
    problems = [{"problem": "1+1?", "answer": "2"}, {"problem": "p", "solution": "s", "answer": "a"}]
    file = tmp_path / "problems.jsonl"
    file.write_text("\n".join(map(json.dumps, problems)) + "\n\n")
    assert read_text(file) == "1+1?\n2\n\np\ns"
    text = "".join(map(chr, range(33, 103)))
    cut = [cut_passages("t", text, ByteTokenizer(), length=8, count=n) for n in (3, 8)]
    places = [[passage.tokens.tolist() for passage in passages] for passages in cut]
    assert places[1][:3] == places[0]
    whole = [list(text[start : start + 8].encode()) for start in range(0, 64, 8)]
    assert [whole.index(tokens) for tokens in places[1]] == [0, 4, 2, 6, 1, 5, 3, 7]
    assert [passage.number for passage in cut[1]] == list(range(8))
    with pytest.raises(InputError, match="30 tokens hold 3 passages of 8 tokens, not 4"):
        cut_passages("t", "abcdefghij" * 3, ByteTokenizer(), length=8, count=4)


@pytest.mark.parametrize("line", ["{", "[1]", '{"problem": "x"}', "3"])
def test_bad_texts(line, tmp_path):
    file = tmp_path / "p.jsonl"
    file.write_text('{"problem": "x", "answer": "y"}\n' + line + "\n")
    with pytest.raises(InputError, match=r"p\.jsonl:2: not a JSON object"):
        read_text(file)
    with pytest.raises(InputError, match="absent"):
        read_text(tmp_path / "absent.txt")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="holds no text file"):
        read_text(tmp_path / "folder")
    (tmp_path / "latin.txt").write_bytes(b"\xe9")
    with pytest.raises(InputError, match=r"latin\.txt"):
        read_text(tmp_path / "latin.txt")
