"""Page scores → the list of pages to read: the public function, its checks and its dispatch.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

import jax
import jax.numpy as jnp

from pallas_kernels._dispatch import Op
from pallas_kernels.arguments import SINGLE, WHOLE, take, whole_number
from pallas_kernels.errors import expect

OP = Op("select_pages", kernels=("tpu", "gpu", "cpu"))
ARGUMENTS = {"scores_bkp": SINGLE, "lengths_b": WHOLE, "page_table_bp": WHOLE.or_none()}
# Ranks above any score, all finite so that a kernel may subtract them.
LARGEST_SCORE, FORCED, NEWEST = 1e38, 2e38, 3e38


def select_pages(
    scores_bkp: jax.Array,
    lengths_b: jax.Array,
    *,
    page_size: int,
    top_k: int,
    sink_pages: int = 0,
    local_pages: int = 1,
    page_table_bp: jax.Array | None = None,
    implementation: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """List the ``top_k`` best pages of each (sequence, KV head), the newest always first.

    Selection is exact: ``jax.lax.approx_max_k`` would make a sample depend on the chip it ran on, and wins
    only where the list is a small part of the pages. Ties go to the older page, so equal scores give equal
    lists on every back end. NaN scores rank last.

    Args:
        scores_bkp: ``[B, K, P]`` f32, higher is better, pages in the order of the text.
        lengths_b: ``[B]`` int32 tokens; pages past ``ceil(length / page_size)`` do not exist.
        page_size: tokens in a page.
        top_k: pages to list, the newest, sink and local ones included; P when larger.
        sink_pages: how many of the first pages are always listed.
        local_pages: how many of the last pages are always listed; at least 1, the newest.
        page_table_bp: ``[B, P]`` int32 physical id of each page; None = ids stay the position in the text.
        implementation: None, or a name of ``OP.implementations``.

    Returns:
        ``page_ids [B, K, J]`` int32 with ``J = min(top_k, P)``: the newest page first, then the other chosen
        ones backwards through the text; and ``num_pages [B, K]`` int32 = ``min(J, pages that exist)``.
        Positions from ``num_pages`` on hold 0.

    Raises:
        ArgumentError: a shape, dtype or count does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    given = {"scores_bkp": scores_bkp, "lengths_b": lengths_b, "page_table_bp": page_table_bp}
    arrays = take(OP.name, ARGUMENTS, given)
    scores_bkp, lengths_b, page_table_bp = arrays.values()
    least = {"page_size": 1, "top_k": 1, "sink_pages": 0, "local_pages": 1}
    page_size, top_k, sink_pages, local_pages = (
        whole_number(OP.name, name, value, least[name])
        for name, value in zip(least, (page_size, top_k, sink_pages, local_pages), strict=True)
    )
    rows = scores_bkp.ndim == 3 and scores_bkp.shape[2] > 0
    expect(rows, OP.name, f"scores are [B, K, P], not {scores_bkp.shape}")
    B, _, P = scores_bkp.shape
    expect(lengths_b.shape == (B,), OP.name, f"lengths is [{B}], not {lengths_b.shape}")
    expect(
        sink_pages + local_pages <= top_k,
        OP.name,
        f"top_k={top_k} has no room for {sink_pages} sink and {local_pages} local pages",
    )
    expect(
        page_table_bp is None or page_table_bp.shape == (B, P),
        OP.name,
        f"page_table_bp is [{B}, {P}], not {getattr(page_table_bp, 'shape', None)}",
    )
    return OP(
        implementation,
        arrays,
        page_size=page_size,
        top_k=min(top_k, P),
        sink_pages=sink_pages,
        local_pages=local_pages,
    )


def ranking(scores_bkp: jax.Array, pages_b: jax.Array, *, sink_pages: int, local_pages: int) -> jax.Array:
    """Scores with the always-listed pages above all others and missing pages at −inf (``[B, K, P]``)."""
    page = jnp.arange(scores_bkp.shape[-1])
    newest_b11 = pages_b[:, None, None] - 1
    return rank(scores_bkp, page, newest_b11, sink_pages=sink_pages, local_pages=local_pages)


def rank(
    scores: jax.Array, page: jax.Array, newest: jax.Array, *, sink_pages: int, local_pages: int
) -> jax.Array:
    """`ranking` of any layout: ``page`` and ``newest`` are positions in the text, broadcast to the scores."""
    ranks = jnp.clip(scores, -LARGEST_SCORE, LARGEST_SCORE)
    ranks = jnp.where(scores != scores, -LARGEST_SCORE, ranks)  # NaN
    ranks = jnp.where(ranks == 0, 0.0, ranks)  # `top_k` would put 0 above −0
    forced = (page < sink_pages) | (page > newest - local_pages)
    ranks = jnp.where(forced, FORCED, ranks)
    ranks = jnp.where(page == newest, NEWEST, ranks)
    return jnp.where(page <= newest, ranks, -jnp.inf)


def backwards(place_bkj: jax.Array, pages_b: jax.Array) -> jax.Array:
    """Chosen places from the end of the text to its start, places of missing pages last."""
    exists_bkj = place_bkj < pages_b[:, None, None]
    return -jnp.sort(jnp.where(exists_bkj, -place_bkj, 1), axis=-1)


def finish(
    order_bkj: jax.Array, pages_b: jax.Array, page_table_bp: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Places backwards through the text → (physical ids with zeros past the end, number of valid ones)."""
    B, K, J = order_bkj.shape
    num_pages_b = jnp.minimum(pages_b, J).astype(jnp.int32)
    listed_b1j = jnp.arange(J) < num_pages_b[:, None, None]
    ids_bkj = jnp.where(listed_b1j, order_bkj, 0)
    if page_table_bp is not None:
        flat_bp = jnp.take_along_axis(page_table_bp, ids_bkj.reshape(B, K * J), axis=1)
        ids_bkj = jnp.where(listed_b1j, flat_bp.reshape(B, K, J), 0)
    return ids_bkj.astype(jnp.int32), jnp.broadcast_to(num_pages_b[:, None], (B, K))


def count_pages(lengths_b: jax.Array, page_size: int) -> jax.Array:
    """``[B]`` pages that exist: ``ceil(length / page_size)``."""
    return lengths_b // page_size + (lengths_b % page_size > 0)
