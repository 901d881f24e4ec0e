"""What a sparse policy costs in fidelity: the model's own next-token distributions, dense and sparse.

Prompts are read densely and only decode steps are sparse, so a context is prefilled up to its last
``span`` tokens, and those are decoded, given the true text, with every policy from the same cache.
Axis letters: B = 1 sequence · T tokens of the span · V vocabulary.
"""

import dataclasses
import functools
from collections.abc import Collection, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from kinetics_jax.attention import ContiguousCache, SelectiveCache
from kinetics_jax.errors import InputError
from kinetics_jax.fidelity.passages import Passage
from kinetics_jax.fidelity.records import Fidelity
from kinetics_jax.models import Transformer, make_cache, prefill
from kinetics_jax.policies import BlockTopK, Dense, Policy, Quest, SlidingWindow, TopK
from kinetics_jax.shapes import ModelConfig

Array = jax.Array
_CHUNK = 256
_SINK = 4


def grid(budgets: Sequence[int], blocks: Sequence[int]) -> list[Policy]:
    """Window, oracle top-k, and both page selectors of every block size, at most ``budget`` tokens each.

    All that a step reads is in the budget: 4 sinks of the first two, and of the others the first and
    the newest page. A budget that leaves nothing to choose is left out for that block size. Raises
    ``InputError`` for a budget that is no multiple of a block size, or leaves nothing to any policy.
    """
    found: list[Policy] = []
    for budget in budgets:
        if budget <= _SINK:
            raise InputError(f"budget {budget} must be above the {_SINK} sinks")
        found += [SlidingWindow(local=budget - _SINK), TopK(k=budget - _SINK)]
        for block in blocks:
            if block < 1 or budget % block:
                raise InputError(f"budget {budget} is no multiple of blocks of {block} tokens")
            if (top := budget // block - 2) > 0:
                found += [kind(block_size=block, top_blocks=top, aligned=True) for kind in (BlockTopK, Quest)]
    return found


def measure(
    model: Transformer,
    passage: Passage,
    contexts: Sequence[int],
    policies: Sequence[Policy],
    *,
    span: int,
    done: Collection[tuple] = (),
) -> Iterator[Fidelity]:
    """Each policy at each context of one passage, shortest context first.

    Measurements whose ``Fidelity.key`` is in ``done`` are not made again. Raises as ``check``.
    """
    check(model.config, len(passage.tokens), contexts, policies, span)
    contexts = sorted(contexts)
    wanted = {
        context: [p for p in policies if (passage.text, passage.number, context, p) not in done]
        for context in contexts
    }
    tokens = jnp.asarray(passage.tokens)[None]
    cache = None
    for number, context in enumerate(contexts):
        if not any(wanted[later] for later in contexts[number:]):
            return
        # Read in the same pieces whatever is done, so that going on changes no digit.
        cache = _grown(model, cache, context)
        start, held = context - span, int(cache.lengths_b[0])
        if start > held:
            cache = _read(model, cache, tokens[:, held:start])
        part, target = tokens[:, start:context], tokens[:, start + 1 : context + 1]
        if not wanted[context]:
            continue
        dense = _logits(model, SelectiveCache.of(cache, Dense()), part)
        for policy in wanted[context]:
            sparse = _logits(model, SelectiveCache.of(cache, policy), part)
            kl, loss, dense_loss, same = (float(x) for x in _compare(dense, sparse, target))
            reads = policy.kv_reads(np.arange(start + 1, context + 1)).mean()
            yield Fidelity(
                text=passage.text,
                passage=passage.number,
                context=context,
                span=span,
                policy=policy,
                kl=kl,
                loss=loss,
                dense_loss=dense_loss,
                agreement=same,
                kv_reads=float(reads),
            )


def check(
    config: ModelConfig, length: int, contexts: Sequence[int], policies: Sequence[Policy], span: int
) -> None:
    """Whether all this can be measured on passages of ``length`` tokens.

    Raises ``InputError`` for contexts that are not longer than ``span`` or not shorter than the passage,
    and as ``SelectiveCache.of`` for the policies.
    """
    if span < 1 or not contexts or not span < min(contexts) <= max(contexts) < length:
        raise InputError(
            f"contexts {list(contexts)} must be longer than span={span} and shorter than the passage "
            f"of {length} tokens"
        )
    for policy in policies:
        SelectiveCache.of(ContiguousCache.describe(config, 1, 1), policy)


def _grown(model: Transformer, cache: ContiguousCache | None, capacity: int) -> ContiguousCache:
    """The cache that holds ``capacity`` tokens: no larger than needed, as attention reads it whole."""
    if cache is None:
        return make_cache(model, 1, capacity)
    more = [(0, 0)] * 3 + [(0, capacity - cache.key_lbksh.shape[3]), (0, 0)]
    return dataclasses.replace(
        cache, key_lbksh=jnp.pad(cache.key_lbksh, more), value_lbksh=jnp.pad(cache.value_lbksh, more)
    )


@functools.partial(jax.jit, donate_argnums=1)
def _read(model: Transformer, cache: ContiguousCache, tokens_bt: Array) -> ContiguousCache:
    counts_b = jnp.full(1, tokens_bt.shape[1])
    return prefill(model, cache, tokens_bt, counts_b, chunk=_CHUNK)[1]


@jax.jit
def _logits(model: Transformer, cache: SelectiveCache, tokens_bt: Array) -> Array:
    """Logits_btv of the span, each token a decode step of the cache's policy."""
    x_btd, _ = model.hidden(tokens_bt, cache, jnp.full(1, tokens_bt.shape[1]))
    return model.logits(x_btd)


@jax.jit
def _compare(dense_btv: Array, sparse_btv: Array, target_bt: Array) -> tuple[Array, Array, Array, Array]:
    """KL(dense ‖ sparse), both losses of the true next tokens, agreement of the most likely: means."""
    dense, sparse = jax.nn.log_softmax(dense_btv), jax.nn.log_softmax(sparse_btv)
    kl_bt = (jnp.exp(dense) * (dense - sparse)).sum(-1)
    loss, dense_loss = (
        -jnp.take_along_axis(x, target_bt[..., None], axis=-1).mean() for x in (sparse, dense)
    )
    same_bt = dense.argmax(-1) == sparse.argmax(-1)
    return kl_bt.mean(), loss, dense_loss, same_bt.mean()
