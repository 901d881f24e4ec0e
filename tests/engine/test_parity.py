"""Greedy tokens of the engine against transformers' own ``generate``, on checkpoints that it wrote itself."""

import numpy as np
import pytest

from kinetics_jax import models
from kinetics_jax.engine import Engine
from kinetics_jax.policies import BlockTopK, Dense
from kinetics_jax.records import SamplingParams

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

NEW_TOKENS = 40


def generated(theirs, prompt: list[int], stop: int) -> tuple[int, ...]:
    """One prompt alone, greedy; what comes after the prompt, the stop token left out."""
    with torch.no_grad():
        whole = theirs.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=stop,
            pad_token_id=0,
        )
    new = whole[0, len(prompt) :].tolist()
    return tuple(new[: new.index(stop)] if stop in new else new)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["ratio2-tied", "qwen2", "llama-smol", "moe-2of4"])
@pytest.mark.parametrize("policy", [Dense(), BlockTopK(16, 40)], ids=lambda p: p.name)
def test_greedy_tokens_are_those_of_transformers(variant, policy, tmp_path):
    """Ragged prompts × 2 samples through 3 slots: refills in the middle, idle slots at the end."""
    from tests.models import oracle  # it imports torch

    theirs = oracle.build(variant)
    theirs.save_pretrained(tmp_path)
    ours = models.load(tmp_path, dtype="float32")
    rng = np.random.default_rng(0)
    prompts = [rng.integers(6, 96, size).tolist() for size in (1, 5, 16, 31, 33, 64, 90)]
    engine = Engine(
        ours, policy=policy, slots=3, max_context=160, page_size=16, chunk_steps=8, prefill_chunk=32
    )
    found = {
        (int(sample.problem_id), sample.trial): sample.tokens
        for sample in engine.generate(
            prompts, n=2, max_tokens=NEW_TOKENS, stop_ids=[5], sampling=SamplingParams(temperature=0.0)
        )
    }
    for number, prompt in enumerate(prompts):
        expected = generated(theirs, prompt, stop=5)
        assert found[number, 0] == found[number, 1] == expected
