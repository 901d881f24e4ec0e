"""Random inputs of the ops, with NaN wherever an op must not look.

Letters: B sequences · N query heads · K KV heads · H head dim · p page size · P pages · J listed pages.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pallas_kernels.quantize import encode, largest_code

SPARE_PAGES = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """The shape of a problem; ``lengths`` decide B and P."""

    lengths: tuple[int, ...]
    listed: int
    query: Any = jnp.float32
    pool: Any = jnp.float32
    query_heads: int = 4
    kv_heads: int = 2
    head_dim: int = 128
    stored: int = 128
    page_size: int = 32
    seed: int = 0

    def __str__(self) -> str:
        pool, query = jnp.dtype(self.pool).name, jnp.dtype(self.query).name
        heads = f"N{self.query_heads}K{self.kv_heads}H{self.head_dim}"
        return f"{query}-{pool}-{heads}-p{self.page_size}-J{self.listed}-{max(self.lengths)}"

    @property
    def pages(self) -> np.ndarray:
        """``[B]`` pages of each sequence."""
        return -(-np.array(self.lengths) // self.page_size)

    @property
    def tolerance(self) -> float:
        """What the issue allows against the reference, relative to the largest number."""
        return 2e-6 if self.query == self.pool == jnp.float32 else 2e-2


def page_table(case: Case) -> np.ndarray:
    """``[B, P]`` physical pages, all different, in an order that means nothing."""
    rng = np.random.default_rng(case.seed)
    B, P = len(case.lengths), max(1, int(case.pages.max()))
    return rng.permutation(B * P + SPARE_PAGES)[: B * P].reshape(B, P).astype(np.int32)


def attention_problem(case: Case) -> dict[str, jax.Array]:
    """Arguments of `paged_attention`: NaN in unlisted pages and unfilled rows, bad ids past the end."""
    rng = np.random.default_rng(case.seed)
    B, K, p, J = len(case.lengths), case.kv_heads, case.page_size, case.listed
    table = page_table(case)
    total = table.size + SPARE_PAGES
    ids = np.full((B, K, J), total - 1, np.int32)
    num_pages = np.zeros((B, K), np.int32)
    seen = np.zeros((total, K, p), bool)
    for b, k in np.ndindex(B, K):
        pages = int(case.pages[b])
        others = rng.permutation(pages - 1)[: J - 1] if pages else np.zeros(0, int)
        if k == 1 and len(others) > 1:
            others = others[:-1]  # lists of one sequence may differ in length
        chosen = table[b, [pages - 1, *others]] if pages else []
        num_pages[b, k] = len(chosen)
        ids[b, k, : len(chosen)] = chosen
        seen[chosen, k] = True
        if pages:
            seen[chosen[0], k, (case.lengths[b] - 1) % p + 1 :] = False
    pool, scales = random_pool(case, total, rng)
    blank = np.array(np.nan if jnp.issubdtype(case.pool, jnp.floating) else 127)
    pool = jnp.where(seen[:, :, None, :, None], pool, jnp.asarray(blank, case.pool))
    query = rng.standard_normal((B, case.query_heads, case.head_dim))
    problem = {
        "query_bnh": jnp.asarray(query, case.query),
        "kv_pages": pool,
        "page_ids_bkj": jnp.asarray(ids),
        "num_pages_bk": jnp.asarray(num_pages),
        "lengths_b": jnp.asarray(case.lengths, jnp.int32),
    }
    return problem if scales is None else {**problem, "kv_scales": scales}


def random_pool(case: Case, total: int, rng: np.random.Generator) -> tuple[jax.Array, jax.Array | None]:
    """A pool with zeros beyond the head dim, and its scales where the dtype needs them."""
    shape = (total, case.kv_heads, 2, case.page_size, case.stored)
    numbers = rng.standard_normal(shape).astype(np.float32)
    numbers[..., case.head_dim :] = 0
    if jnp.dtype(case.pool).itemsize > 1:
        return jnp.asarray(numbers, case.pool), None
    largest = largest_code(case.pool)
    scales = np.abs(numbers).max(axis=(3, 4)) / largest
    codes = encode(jnp.asarray(numbers / scales[..., None, None]), case.pool, largest)
    return codes, jnp.asarray(scales, jnp.float32)


def prefix_problem(case: Case, samples: int, shared: tuple[int, ...]) -> dict[str, jax.Array]:
    """Arguments of `prefix_attention`: ``len(shared)`` prompts of ``samples`` samples each."""
    own = attention_problem(case)
    prefix_case = dataclasses.replace(case, lengths=shared, seed=case.seed + 1)
    prefix = attention_problem(prefix_case)
    offset = own["kv_pages"].shape[0]
    joined = {
        name: jnp.concatenate([own[name], prefix[name]]) for name in ("kv_pages", "kv_scales") if name in own
    }
    assert len(case.lengths) == samples * len(shared)
    return {
        **own,
        **joined,
        "prefix_ids_ukj": prefix["page_ids_bkj"] + offset,
        "prefix_num_pages_uk": prefix["num_pages_bk"],
        "prefix_lengths_u": prefix["lengths_b"],
    }


def scores_problem(case: Case, kinds: int, layers: int = 1) -> dict[str, Any]:
    """Arguments of `page_scores`: NaN in the summaries of pages that do not exist and of other layers."""
    rng = np.random.default_rng(case.seed)
    B, P = page_table(case).shape
    summaries = rng.standard_normal((layers, B, case.kv_heads, kinds, P, case.stored))
    summaries = np.sort(summaries, axis=3)  # minimum before maximum
    summaries[..., case.head_dim :] = 0
    exists = np.arange(P) < case.pages[:, None]
    summaries = np.where(exists[:, None, None, :, None], summaries, np.nan)
    summaries[: layers - 1] = np.nan
    query = rng.standard_normal((B, case.query_heads, case.head_dim))
    return {
        "query_bnh": jnp.asarray(query, case.query),
        "summaries_mkrph": jnp.asarray(summaries, case.pool).reshape(-1, *summaries.shape[2:]),
        "lengths_b": jnp.asarray(case.lengths, jnp.int32),
        "rows_b": jnp.asarray((layers - 1) * B + np.arange(B), jnp.int32),
        "page_size": case.page_size,
    }


def append_problem(case: Case, tokens: int, new_tokens: tuple[int, ...], kinds: int = 1) -> dict[str, Any]:
    """Arguments of `kv_append`: ``lengths`` are those before; unfilled rows of the pool are NaN."""
    rng = np.random.default_rng(case.seed)
    B, K = len(case.lengths), case.kv_heads
    after = tuple(length + tokens for length in case.lengths)
    P = -(-max(after) // case.page_size) + 1
    P += -P % 16
    total = B * P + SPARE_PAGES
    table = rng.permutation(total)[: B * P].reshape(B, P).astype(np.int32)
    pool, scales = random_pool(case, total, rng)
    filled = np.zeros((total, case.page_size), bool)
    for b, length in enumerate(case.lengths):
        rows = np.arange(P * case.page_size).reshape(P, case.page_size) < length
        filled[table[b]] = rows
    blank = np.array(np.nan if jnp.issubdtype(case.pool, jnp.floating) else 127)
    pool = jnp.where(filled[:, None, None, :, None], pool, jnp.asarray(blank, case.pool))
    summaries = rng.standard_normal((B, K, kinds, P, case.stored))
    problem = {
        "kv_pages": pool,
        "key_btkh": jnp.asarray(rng.standard_normal((B, tokens, K, case.head_dim)), case.query),
        "value_btkh": jnp.asarray(rng.standard_normal((B, tokens, K, case.head_dim)), case.query),
        "page_table_bp": jnp.asarray(table),
        "lengths_b": jnp.asarray(case.lengths, jnp.int32),
        "new_tokens_b": jnp.asarray(new_tokens, jnp.int32),
        "summaries_mkrph": jnp.asarray(summaries, case.query),
    }
    return problem if scales is None else {**problem, "kv_scales": scales}
