"""Page scores → the list of pages to read: the public function, its checks and its dispatch.

Letters: B sequences · K KV heads · P pages of a sequence · J listed pages.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float32, Int, Int32

from pallas_kernels._dispatch import Implementation, Op
from pallas_kernels.arguments import SINGLE, WHOLE, array, option, take, typed_call, whole_number
from pallas_kernels.errors import expect

OP = Op("select_pages", kernels=("tpu", "gpu", "cpu"))
# Ranks above any score, all finite so that a kernel may subtract them.
LARGEST_SCORE, FORCED, NEWEST = 1e38, 2e38, 3e38


@typed_call
class SelectPages:
    """A call of `select_pages`, which says what the fields are. Back ends get ``top_k`` ≤ P."""

    scores_bkp: Float32[Array, "B K P"] = array(SINGLE)
    lengths_b: Int32[Array, " B"] = array(WHOLE)
    page_size: int = option(whole_number, 1)
    top_k: int = option(whole_number, 1)
    sink_pages: int = option(whole_number, 0, default=0)
    local_pages: int = option(whole_number, 1, default=1)
    page_table_bp: Int32[Array, "B P"] | None = array(WHOLE, default=None)

    def pages(self) -> Int32[Array, " B"]:
        """Pages of each sequence that exist."""
        return count_pages(self.lengths_b, self.page_size)

    def table(self) -> Int32[Array, "B P"]:
        """The page table; without one a page's id is its position in the text."""
        if self.page_table_bp is not None:
            return self.page_table_bp
        B, _, P = self.scores_bkp.shape
        return jnp.broadcast_to(jnp.arange(P, dtype=jnp.int32), (B, P))

    def rank(self, scores: jax.Array, page: jax.Array, newest: jax.Array) -> jax.Array:
        """Scores of any layout, those of always-listed pages above all others and of missing pages −inf.

        ``page`` and ``newest`` are positions in the text, broadcast to the scores.
        """
        ranks = jnp.clip(scores, -LARGEST_SCORE, LARGEST_SCORE)
        ranks = jnp.where(scores != scores, -LARGEST_SCORE, ranks)  # NaN
        ranks = jnp.where(ranks == 0, 0.0, ranks)  # `top_k` would put 0 above −0
        forced = (page < self.sink_pages) | (page > newest - self.local_pages)
        ranks = jnp.where(forced, FORCED, ranks)
        ranks = jnp.where(page == newest, NEWEST, ranks)
        return jnp.where(page <= newest, ranks, -jnp.inf)

    def ranking(self, pages_b: jax.Array) -> Float32[Array, "B K P"]:
        """`rank` of the call's scores as they lie."""
        page = jnp.arange(self.scores_bkp.shape[-1])
        return self.rank(self.scores_bkp, page, pages_b[:, None, None] - 1)


def select_pages(
    scores_bkp: Float32[Array, "B K P"],
    lengths_b: Int[Array, " B"],
    *,
    page_size: int,
    top_k: int,
    sink_pages: int = 0,
    local_pages: int = 1,
    page_table_bp: Int[Array, "B P"] | None = None,
    implementation: Implementation = None,
) -> tuple[Int32[Array, "B K J"], Int32[Array, "B K"]]:
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
        implementation: None, a back end, or several in the order to try (docs/kernels/back_ends.md).

    Returns:
        ``page_ids [B, K, J]`` int32 with ``J = min(top_k, P)``: the newest page first, then the other chosen
        ones backwards through the text; and ``num_pages [B, K]`` int32 = ``min(J, pages that exist)``.
        Positions from ``num_pages`` on hold 0.

    Raises:
        ArgumentError: a shape, dtype or count does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    given = SelectPages(scores_bkp, lengths_b, page_size, top_k, sink_pages, local_pages, page_table_bp)
    call = take(OP.name, given)
    _check(call)
    return OP(implementation, dataclasses.replace(call, top_k=min(call.top_k, call.scores_bkp.shape[2])))


def _check(call: SelectPages) -> None:
    """Raise `ArgumentError` unless shapes and counts fit together."""
    shape, table = call.scores_bkp.shape, call.page_table_bp
    expect(len(shape) == 3 and shape[2] > 0, OP.name, f"scores are [B, K, P], not {shape}")
    B, _, P = shape
    expect(call.lengths_b.shape == (B,), OP.name, f"lengths is [{B}], not {call.lengths_b.shape}")
    expect(
        call.sink_pages + call.local_pages <= call.top_k,
        OP.name,
        f"top_k={call.top_k} has no room for {call.sink_pages} sink and {call.local_pages} local pages",
    )
    expect(
        table is None or table.shape == (B, P),
        OP.name,
        f"page_table_bp is [{B}, {P}], not {getattr(table, 'shape', None)}",
    )


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
