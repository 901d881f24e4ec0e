"""One layer's sparse decode step (score, select, attend) on this CPU, against our own best dense step.

    python -m experiments.benchmarks.sparse_step_cpu --out sparse_step_cpu.json

Dense has two forms and the faster one counts: every page listed in `paged_attention`, and a flash loop that
slices the pool without page tables, which a pool in the order of the text allows. Everything is f32.
Letters: B sequences · S tokens · N query heads · K KV heads · H head dim · p page size · P pages · J listed.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import app, flags
from jax import lax

from pallas_kernels import page_scores, paged_attention, select_pages

N, K, H, BUDGET = 32, 8, 128, 1024
DENSE_CHUNK = 1024  # tokens

_SHAPES = flags.DEFINE_list("shapes", ["8x32768", "4x32768", "4x131072"], "Batch x context, one run each.")
_PAGE = flags.DEFINE_integer("page_size", 64, "Tokens in a page.")
_REPEATS = flags.DEFINE_integer("repeats", 10, "Timed calls of each function; the fastest counts.")
_OUT = flags.DEFINE_string("out", "", "Write the results here as JSON; nothing if empty.")


def sparse_step(
    query: jax.Array, pool: jax.Array, summaries: jax.Array, table: jax.Array, lengths: jax.Array
) -> jax.Array:
    """Score every page, keep the best, attend to those."""
    p = pool.shape[3]
    scores = page_scores(query, summaries, lengths, page_size=p)
    ids, num = select_pages(scores, lengths, page_size=p, top_k=BUDGET // p, page_table_bp=table)
    return paged_attention(query, pool, ids, num, lengths)[0]


def listed_dense_step(query: jax.Array, pool: jax.Array, table: jax.Array, lengths: jax.Array) -> jax.Array:
    """Attend to every page through the page table."""
    B, P = table.shape
    ids = jnp.broadcast_to(table[:, None, ::-1], (B, K, P))
    return paged_attention(query, pool, ids, jnp.full((B, K), P, jnp.int32), lengths)[0]


def sliced_dense_step(query: jax.Array, pool: jax.Array, S: int) -> jax.Array:
    """Flash loop over slices of a pool whose pages lie in the order of the text; full lengths only."""
    B, p = query.shape[0], pool.shape[3]
    pages, chunk = S // p, DENSE_CHUNK // p

    def attend(row: jax.Array) -> jax.Array:
        b, k = row // K, row % K
        q = query.reshape(B, K, N // K, H)[b, k] / H**0.5

        def fold(i: jax.Array, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            top, total, out = state
            at = (b * pages + i * chunk, k, 0, 0, 0)
            kv = lax.dynamic_slice(pool, at, (chunk, 1, 2, p, H))[:, 0]
            scores = q @ kv[:, 0].reshape(-1, H).T
            new_top = jnp.maximum(top, scores.max(axis=1))
            weights, kept = jnp.exp(scores - new_top[:, None]), jnp.exp(top - new_top)
            out = out * kept[:, None] + weights @ kv[:, 1].reshape(-1, H)
            return new_top, total * kept + weights.sum(axis=1), out

        G = N // K
        state = (jnp.full((G,), -jnp.inf), jnp.zeros((G,)), jnp.zeros((G, H)))
        _, total, out = lax.fori_loop(0, pages // chunk, fold, state)
        return out / total[:, None]

    return lax.map(attend, jnp.arange(B * K)).reshape(B, N, H)


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """The fastest of some calls, after one to compile."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(_REPEATS.value):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(time.perf_counter() - start)
    return min(taken)


def measure(B: int, S: int, p: int) -> dict[str, Any]:
    """Times of one shape in milliseconds, and their ratio."""
    P, J = S // p, BUDGET // p
    keys = jax.random.split(jax.random.key(0), 4)
    pool = jax.random.normal(keys[0], (B * P, K, 2, p, H))
    query = jax.random.normal(keys[1], (B, N, H))
    summaries = pool[:, :, 0].mean(axis=2).reshape(B, P, K, 1, H).transpose(0, 2, 3, 1, 4)
    table = jnp.arange(B * P, dtype=jnp.int32).reshape(B, P)
    lengths = jnp.full((B,), S, jnp.int32)
    chosen = jax.random.permutation(keys[2], jnp.broadcast_to(table[:, None], (B, K, P)), axis=2)
    listed = (chosen[..., :J], jnp.full((B, K), J, jnp.int32), lengths)
    times = {
        "dense, pages listed": seconds(jax.jit(listed_dense_step), query, pool, table, lengths),
        "dense, pool sliced": seconds(jax.jit(sliced_dense_step, static_argnums=2), query, pool, S),
        "sparse step": seconds(jax.jit(sparse_step), query, pool, summaries, table, lengths),
        "sparse attention only": seconds(jax.jit(paged_attention), query, pool, *listed),
    }
    dense = min(times["dense, pages listed"], times["dense, pool sliced"])
    return {
        "B": B,
        "S": S,
        "page_size": p,
        "budget": BUDGET,
        "milliseconds": {name: 1e3 * taken for name, taken in times.items()},
        "dense / sparse step": dense / times["sparse step"],
    }


def machine() -> str:
    """What this ran on."""
    chip = jax.devices()[0].device_kind
    return f"{os.cpu_count()} cores, {platform.machine()}, {chip}, jax {jax.__version__}"


def main(_: Sequence[str]) -> None:
    """Measure every shape, print a table, write JSON."""
    print(f"measured here: {machine()}; N={N} K={K} H={H}, budget {BUDGET} tokens, f32")
    results = []
    for shape in _SHAPES.value:
        B, S = map(int, shape.split("x"))
        result = measure(B, S, _PAGE.value)
        results.append(result)
        print(f"B={B} S={S}: dense / sparse step = {result['dense / sparse step']:.1f}")
        for name, taken in result["milliseconds"].items():
            print(f"  {name:24s} {taken:9.2f} ms")
    if _OUT.value:
        with open(_OUT.value, "w") as file:
            json.dump({"machine": machine(), "results": results}, file, indent=1)
        print(f"written to {_OUT.value}")


if __name__ == "__main__":
    app.run(main)
