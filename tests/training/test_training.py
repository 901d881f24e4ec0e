"""The training loop itself: it learns, goes on where it stopped, and scores what it claims to score."""

import dataclasses

import jax
import numpy as np
import pytest

from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.models import Qwen3
from kinetics_jax.tasks.registers import END, make_problems
from kinetics_jax.training import SIZES, TrainingFailedError, exact_score, train
from kinetics_jax.training.forward import forward
from kinetics_jax.training.recipe import RECIPE, SMOKE, Recipe, Stage
from kinetics_jax.training.start import start_model

TINY = dataclasses.replace(SIZES["xs"], name="tiny", model_dim=16, ffn_dim=16)
SHORT = Recipe(
    stages=(
        Stage(name="one", rows=(("short", 1),), steps=20, learning_rate=(0.02, 0.02)),
        Stage(name="two", rows=(("short", 1),), steps=10, learning_rate=(0.02, 0.001)),
    ),
    window=5,
    ramp_steps=5,
    short=(4, 8),
    pool=(128, 64, 16),
)


def silent(_: str) -> None:
    pass


def test_at_plain_positions_the_trained_forward_is_the_models_own():
    model = start_model(TINY, 3)
    tokens = np.random.default_rng(0).integers(TINY.vocab_size, size=(2, 300))
    positions = np.broadcast_to(np.arange(300), tokens.shape)
    ours, theirs = forward(model, tokens, positions).logits_btv, model(tokens)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    moved = forward(model, tokens, positions + 700).logits_btv
    np.testing.assert_allclose(moved, theirs, atol=2e-4)  # RoPE sees differences only


def test_a_stopped_run_goes_on_to_the_same_model(tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    straight, progress = train(TINY, SHORT, 1, log=silent)
    assert progress.step == 30

    class Stopped(Exception):  # noqa: N818
        pass

    def stop_at_fifteen(line: str) -> None:
        if "step 20:" in line:
            raise Stopped  # after the window's log and before its checkpoint

    with pytest.raises(Stopped):
        train(TINY, SHORT, 1, checkpoint=file, log=stop_at_fifteen)
    lines: list[str] = []
    resumed, again = train(TINY, SHORT, 1, checkpoint=file, log=lines.append)
    assert "goes on from step 15" in lines[0]
    assert again.history == progress.history
    for path, array in straight.arrays().items():
        np.testing.assert_array_equal(array, resumed.arrays()[path], err_msg=path)

    first, last = progress.history[0], progress.history[-1]
    assert last["short/read_address"] < first["short/read_address"] - 1.0
    with pytest.raises(InputError, match="of another seed"):
        train(TINY, SHORT, 2, checkpoint=file, log=silent)
    file.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="not a training checkpoint"):
        train(TINY, SHORT, 1, checkpoint=file, log=silent)


def test_a_gate_that_stays_shut_fails_the_run_and_an_open_one_ends_the_stage_early():
    def gated(nats: float) -> Recipe:
        gate = (("short/value_written", nats),)
        first = dataclasses.replace(SHORT.stages[0], gate=gate, must_pass=True)
        return dataclasses.replace(SHORT, stages=(first, SHORT.stages[1]))

    with pytest.raises(TrainingFailedError, match=r"stage one .* gate shut: short/value_written"):
        train(TINY, gated(0.1), 0, log=silent)
    _, progress = train(TINY, gated(100.0), 0, log=silent)
    assert [w["stage"] for w in progress.history] == ["one", "two", "two"]


@pytest.mark.slow
def test_every_stage_of_the_smoke_recipe_lowers_its_loss():
    _, progress = train(SIZES["xs"], SMOKE, 0, log=silent)
    warm = [w for w in progress.history if w["stage"] == "warm-up"]
    for loss in ("short/read_address", "short/value_written", "look_up/missed"):
        assert warm[-1][loss] < warm[0][loss]
    assert [s.name for s in SMOKE.stages] == [s.name for s in RECIPE.stages if s.name != "facts"]


def test_the_exact_score_is_the_product_over_one_pass():
    model = start_model(TINY, 0)
    problems = make_problems(5, split="validation", shortest=8, longest=40)
    score = exact_score(model, problems, temperature=0.7)
    for problem, got in zip(problems, score.log_probability_b, strict=True):
        text = np.array([[*problem.prompt, *problem.answer, END]])
        logs = jax.nn.log_softmax(model(text)[0] / 0.7)
        first = len(problem.prompt)
        picked = [logs[t - 1, text[0, t]] for t in range(first, text.shape[1])]
        np.testing.assert_allclose(got, np.sum(picked), rtol=1e-4)
    assert score.pass_at(16) >= score.pass_at(1) >= 0
    assert set(score.errors) == {"read_address", "value_read", "write_address", "value_written", "end"}


def test_what_cannot_be_trained_or_scored_is_refused():
    stacked = Qwen3.init(TINY, jax.random.key(0))
    with pytest.raises(InputError, match="unroll=True"):
        forward(stacked, np.zeros((1, 4), int), np.zeros((1, 4), int))
    with pytest.raises(InputError, match="tied embeddings"):
        start_model(dataclasses.replace(TINY, tied_embeddings=False), 0)
    with pytest.raises(InputError, match="temperature"):
        exact_score(start_model(TINY, 0), make_problems(1, shortest=8, longest=40), 0.0)
    with pytest.raises(InputError, match="whole windows"):
        dataclasses.replace(SHORT, window=7)
    with pytest.raises(UnknownNameError, match="kind of rows"):
        Recipe(stages=(Stage(name="x", rows=(("tall", 1),), steps=100, learning_rate=(1, 1)),))
