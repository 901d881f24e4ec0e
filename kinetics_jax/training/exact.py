"""How often a model solves problems under dense attention, without sampling.

A problem has one right trace, so its probability of being sampled is a product over one forward
pass. Axis letters: B problems · T tokens · V vocabulary.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax.errors import InputError
from kinetics_jax.models import Transformer
from kinetics_jax.records import Problem
from kinetics_jax.tasks.registers import TOKENS_PER_STEP
from kinetics_jax.training.rows import KINDS

_BATCH = 4
_PAD = 256
"""Lengths are padded to multiples of this, so that few shapes are compiled."""


@dataclasses.dataclass(frozen=True)
class ExactScore:
    """What a model does on B problems at one temperature."""

    log_probability_b: np.ndarray
    """Of the whole right trace, the stop token included (natural logarithm)."""
    greedy_b: np.ndarray
    """Whether the most likely tokens are the right trace."""
    errors: dict[str, float]
    """Share of tokens of each kind that are not the most likely one, given a right past."""

    @property
    def probability_b(self) -> np.ndarray:
        """Chance that one sample is right."""
        return np.exp(self.log_probability_b)

    def pass_at(self, trials: int) -> float:
        """Mean probability that one of ``trials`` samples is right."""
        return float(np.mean(1 - (1 - self.probability_b) ** trials))


def exact_score(model: Transformer, problems: Sequence[Problem], temperature: float = 1.0) -> ExactScore:
    """Score ``model`` on problems of the register machine by one forward pass each.

    Raises:
        InputError: no problems, or a temperature that is not positive.
    """
    if not problems or not temperature > 0:
        raise InputError(f"give problems, and a temperature above 0 (got {temperature})")
    (stop,) = model.config.eos_token_ids
    order = sorted(range(len(problems)), key=lambda i: len(problems[i].answer))
    logs, greedy = np.zeros(len(problems)), np.zeros(len(problems), bool)
    wrong, seen = np.zeros(len(KINDS)), np.zeros(len(KINDS))
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        texts = [(*problems[i].prompt, *problems[i].answer, stop) for i in rows]
        longest = -(-max(map(len, texts)) // _PAD) * _PAD
        tokens = np.full((_BATCH, longest + 1), stop, np.int32)
        for row, text in enumerate(texts):
            tokens[row, : len(text)] = text
        log_bt, right_bt = map(np.asarray, _follow(model, tokens, np.float32(temperature)))
        for row, i in enumerate(rows):
            first, last = len(problems[i].prompt) - 1, len(texts[row]) - 1
            logs[i] = log_bt[row, first:last].sum(dtype=np.float64)
            right = right_bt[row, first:last]
            greedy[i] = right.all()
            kind = np.arange(len(right)) % TOKENS_PER_STEP
            kind[-1] = KINDS.index("end")
            wrong += np.bincount(kind, ~right, len(KINDS))
            seen += np.bincount(kind, minlength=len(KINDS))
    errors = dict(zip(KINDS, (wrong / seen).tolist(), strict=True))
    return ExactScore(logs, greedy, errors)


@jax.jit
def _follow(model: Transformer, tokens_bt: jax.Array, temperature: jax.Array) -> tuple:
    """Log-probability of every next token, and whether it is the most likely one."""
    logits, target = model(tokens_bt[:, :-1]), tokens_bt[:, 1:]
    log_btv = jax.nn.log_softmax(logits / temperature)
    log_bt = jnp.take_along_axis(log_btv, target[..., None], -1)[..., 0]
    return log_bt, jnp.argmax(logits, -1) == target
