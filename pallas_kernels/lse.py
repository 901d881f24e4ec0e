"""Partial attention results and how they add up.

Letters: B sequences · N query heads · H head dim · s partials of the same queries over disjoint tokens.
"""

import jax
import jax.numpy as jnp

from pallas_kernels._calls import our_rules


def combine_partials(out_sbnh: jax.Array, lse_sbn: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Attention over the union of disjoint token sets, from the attention over each.

    Args:
        out_sbnh: ``[s, B, N, H]`` outputs, each normalised over its own tokens.
        lse_sbn: ``[s, B, N]`` f32 natural log-sum-exp of the scaled scores; −inf where there is no token.

    Returns:
        ``(out [B, N, H], lse [B, N])``; zeros and −inf where no partial has a token.

    """
    with our_rules():
        return _combined(out_sbnh, lse_sbn)


def _combined(out_sbnh: jax.Array, lse_sbn: jax.Array) -> tuple[jax.Array, jax.Array]:
    top_bn = lse_sbn.max(axis=0)
    # −inf − −inf is NaN: rows without any token are shifted by 0 instead.
    shift_bn = jnp.where(jnp.isneginf(top_bn), 0.0, top_bn)
    weight_sbn = jnp.exp(lse_sbn - shift_bn)
    total_bn = weight_sbn.sum(axis=0)
    share_sbn = weight_sbn / jnp.where(total_bn == 0, 1.0, total_bn)
    out_bnh = jnp.einsum("sbn,sbnh->bnh", share_sbn, out_sbnh.astype(jnp.float32))
    return out_bnh.astype(out_sbnh.dtype), shift_bn + jnp.log(total_bn)
