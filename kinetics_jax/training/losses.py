"""What is minimised: next tokens, and while warming up two scaffolds that are thrown away.

Axis letters: B rows · T tokens · S context entries · D model dim · V vocabulary.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from kinetics_jax.models import Transformer
from kinetics_jax.training.forward import forward
from kinetics_jax.training.rows import KINDS, Rows

Array = jax.Array

BACK = (1, 3)
"""How far back lie the tokens that the scaffold's heads must name: the key of an entry, and the last
write address seen from where the next one is due."""
_WRITE_ADDRESS = KINDS.index("write_address")
_SCAFFOLD_WEIGHT = 0.5
_LOOK_UP_LAYER = 1


def start_heads(key: Array, model_dim: int, vocabulary: int) -> Array:
    """The scaffold's heads, [len(BACK), D, V]."""
    return 0.02 * jax.random.normal(key, (len(BACK), model_dim, vocabulary))


def batch_loss(
    model: Transformer, heads_2dv: Array, batch: Mapping[str, Rows], scaffold: bool
) -> tuple[Array, dict[str, Array]]:
    """Mean loss in nats over the learnt tokens of all rows, plus the scaffolds.

    Returns:
        The loss, and the parts that a recipe's gates and a reader look at: ``rows/kind`` in nats,
        NaN where the batch has none.
    """
    total = learnt = extra = jnp.zeros(())
    parts: dict[str, Array] = {}
    for name, rows in batch.items():
        seen = forward(model, rows.token_bt, rows.position_bt, rows.entry_bts if scaffold else None)
        loss_bt = _nats(seen.logits_btv, rows.target_bt)
        total += jnp.sum(loss_bt * rows.weight_bt)
        learnt += jnp.sum(rows.weight_bt)
        for index, kind in enumerate(KINDS):
            of_kind = rows.weight_bt * (rows.kind_bt == index)
            there_are = jnp.any(of_kind > 0)
            parts[f"{name}/{kind}"] = jnp.where(there_are, _mean(loss_bt, of_kind), jnp.nan)
        if scaffold:
            named = _named_before(seen.first_btd, heads_2dv, rows)
            extra += sum(named)
            parts |= {f"{name}/{back}_back": nats for back, nats in zip(BACK, named, strict=True)}
            if rows.entry_bts is not None:
                asked_bt = jnp.any(rows.entry_bts, axis=-1)
                missed = _mean(-jnp.log(seen.mass_lbt[_LOOK_UP_LAYER] + 1e-6), asked_bt)
                extra += missed
                parts[f"{name}/missed"] = missed
    return total / jnp.maximum(learnt, 1) + _SCAFFOLD_WEIGHT * extra, parts


def _named_before(first_btd: Array, heads_2dv: Array, rows: Rows) -> list[Array]:
    """Nats at which each head names the token ``BACK`` tokens before, from the stream after layer 0."""
    nats = []
    for head_dv, back in zip(heads_2dv, BACK, strict=True):
        loss = _nats(first_btd[:, back:] @ head_dv, rows.token_bt[:, :-back])
        due = jnp.ones_like(loss) if back == 1 else rows.kind_bt[:, back:] == _WRITE_ADDRESS
        nats.append(_mean(loss, due))
    return nats


def _nats(logits_btv: Array, target_bt: Array) -> Array:
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits_btv), target_bt[..., None], -1)
    return -picked[..., 0]


def _mean(x: Array, weight: Array) -> Array:
    return jnp.sum(x * weight) / jnp.maximum(jnp.sum(weight), 1)
