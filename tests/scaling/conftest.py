"""What the scaling tests share: simulated cells and a price with a closed form."""

import numpy as np
import pytest

from kinetics_jax.policies import Dense
from kinetics_jax.scaling import Cell

PARAMS = {"0.6B": 0.6, "14B": 14.0, "32B": 32.0, "4B": 4.0, "8B": 8.0}


@pytest.fixture(scope="session")
def price():
    """Linear in params, with the prompt's KV read once for all trials: cost(model or its size, …)."""

    def cost(model, policy, prompt_tokens, generated_tokens, trials=1):
        size = PARAMS.get(model, model)
        reads = np.minimum(policy.kv_budget or np.inf, generated_tokens / 2)
        shared_prompt = 0.5 * prompt_tokens * generated_tokens
        per_trial = generated_tokens * (size * 100 + reads)
        return trials * per_trial + shared_prompt

    return cost


@pytest.fixture(scope="session")
def make_cell():
    """A simulated cell: solve rates per question [Q], S samples, lognormal lengths."""

    def make(model="4B", rates=(0.5,) * 8, samples=8, seed=0, policy=None, **fields):
        rng = np.random.default_rng(seed)
        rates = np.asarray(rates)
        shape = (len(rates), samples)
        lengths = np.clip(rng.lognormal(8.5, 0.6, shape), 50, 32_000).round()
        values = {
            "source": "simulated",
            "model": model,
            "policy": policy or Dense(),
            "dataset": "made-up",
            "max_tokens": 32_768,
            "variant": "",
            "temperature": 0.6,
            "questions": tuple(f"q{i}" for i in range(len(rates))),
            "generated_tokens": lengths,
            "correct": rng.random(shape) < rates[:, None],
            "present": np.ones(shape, bool),
            "prompt_tokens": np.full(len(rates), 100.0),
        }
        return Cell(**{**values, **fields})

    return make


@pytest.fixture(scope="session")
def params():
    """Size of each simulated model, in billions of parameters; sorted as text 14B precedes 4B."""
    return PARAMS
