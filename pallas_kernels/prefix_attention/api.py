"""Decode attention of many samples of one prompt: the public function, its checks and its dispatch.

Letters: B sequences · U prompts · m = B/U samples of a prompt · N query heads · K KV heads · H head dim ·
J listed pages.
"""

import jax

from pallas_kernels._dispatch import Op
from pallas_kernels.arguments import FLOATS, PAGES, SINGLE, WHOLE, score_scale, take
from pallas_kernels.errors import expect
from pallas_kernels.paged_attention.api import check_arguments, check_list

OP = Op("prefix_attention", kernels=("tpu", "gpu", "cpu"))
ARGUMENTS = {
    "query_bnh": FLOATS,
    "kv_pages": PAGES,
    "prefix_ids_ukj": WHOLE,
    "prefix_num_pages_uk": WHOLE,
    "prefix_lengths_u": WHOLE,
    "page_ids_bkj": WHOLE,
    "num_pages_bk": WHOLE,
    "lengths_b": WHOLE,
    "kv_scales": SINGLE.or_none(),
}


def prefix_attention(
    query_bnh: jax.Array,
    kv_pages: jax.Array,
    prefix_ids_ukj: jax.Array,
    prefix_num_pages_uk: jax.Array,
    prefix_lengths_u: jax.Array,
    page_ids_bkj: jax.Array,
    num_pages_bk: jax.Array,
    lengths_b: jax.Array,
    *,
    scale: float | None = None,
    kv_scales: jax.Array | None = None,
    implementation: str | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Attend ``m`` samples of each prompt to the prompt's shared pages, and each sample to its own.

    The queries of the m samples are stacked into one matrix, so a shared page is read once for all of them
    and not once per sample; the two parts are added up by their log-sum-exp.

    Args:
        query_bnh: ``[B, N, H]``; sequences ``u·m … u·m + m − 1`` are the samples of prompt u.
        kv_pages: the pool, as in `pallas_kernels.paged_attention`.
        prefix_ids_ukj: ``[U, K, J']`` int32 pages shared by the samples of a prompt, newest first.
        prefix_num_pages_uk: ``[U, K]`` int32 valid positions of each shared list.
        prefix_lengths_u: ``[U]`` int32 tokens of the shared part: they fill its newest page as in
            `pallas_kernels.paged_attention`. 0 = nothing shared.
        page_ids_bkj: ``[B, K, J]`` int32 each sample's own pages, newest first.
        num_pages_bk: ``[B, K]`` int32 valid positions of each own list.
        lengths_b: ``[B]`` int32 tokens of a sample, which fill its newest own page. Shared full pages may be
            counted or not: only the remainder by the page size, and 0 for "none", matter.
        scale: of the scores; ``1/sqrt(H)`` when None.
        kv_scales: ``[P_total, K, 2]`` f32 with int8 and float8 pages.
        implementation: None, or a name of ``OP.implementations``.

    Returns:
        ``out [B, N, H]`` and ``lse [B, N]`` over the shared and the own pages together.

    Raises:
        ArgumentError: a shape or dtype does not fit.
        UnsupportedError: the named implementation cannot run this call.

    """
    given = {
        "query_bnh": query_bnh,
        "kv_pages": kv_pages,
        "prefix_ids_ukj": prefix_ids_ukj,
        "prefix_num_pages_uk": prefix_num_pages_uk,
        "prefix_lengths_u": prefix_lengths_u,
        "page_ids_bkj": page_ids_bkj,
        "num_pages_bk": num_pages_bk,
        "lengths_b": lengths_b,
        "kv_scales": kv_scales,
    }
    arrays = take(OP.name, ARGUMENTS, given)
    query_bnh, kv_pages, *listed, kv_scales = arrays.values()
    check_arguments(OP.name, query_bnh, kv_pages, kv_scales)
    B, U = query_bnh.shape[0], arrays["prefix_lengths_u"].size
    expect(U > 0 and B % U == 0, OP.name, f"{B} sequences are not a multiple of {U} prompts")
    check_list(OP.name, U, kv_pages, *listed[:3])
    check_list(OP.name, B, kv_pages, *listed[3:])
    return OP(implementation, arrays, scale=score_scale(OP.name, scale, query_bnh.shape[-1]))


def stack_samples(query_bnh: jax.Array, prompts: int, kv_heads: int) -> jax.Array:
    """``[B, N, H]`` → ``[U, K·m·G, H]``: the query group of a KV head becomes that of all samples."""
    B, N, H = query_bnh.shape
    split = query_bnh.reshape(prompts, B // prompts, kv_heads, N // kv_heads, H)
    return split.swapaxes(1, 2).reshape(prompts, -1, H)


def unstack_samples(stacked: jax.Array, samples: int, kv_heads: int) -> jax.Array:
    """``[U, K·m·G, …]`` → ``[U·m, N, …]``, the inverse of `stack_samples`."""
    prompts, rows, *rest = stacked.shape
    split = stacked.reshape(prompts, kv_heads, samples, rows // (kv_heads * samples), *rest)
    return split.swapaxes(1, 2).reshape(prompts * samples, rows // samples, *rest)
