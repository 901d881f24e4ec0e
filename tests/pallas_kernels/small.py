"""A small problem of every op, whose whole numbers fit an int8."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from tests.pallas_kernels import problems
from tests.pallas_kernels.problems import Case

CASE = Case(lengths=(20, 33), listed=2, page_size=16, head_dim=16, stored=16)
DECODING = ("kv_append", "page_scores", "paged_attention", "prefix_attention", "select_pages")
OPS = (*DECODING, "linear", "look_up")


def arguments(op: str) -> dict[str, Any]:
    """Arguments by name: arrays, and options that are static."""
    rng = np.random.default_rng(1)
    if op == "kv_append":
        problem = problems.append_problem(CASE, 1, (1, 1))
        problem["kv_pages"] = jnp.nan_to_num(problem["kv_pages"])
        return problem | {"rows_b": jnp.asarray([1, 0], jnp.int32)}
    if op == "page_scores":
        return problems.scores_problem(CASE, 1)
    if op == "paged_attention":
        return problems.attention_problem(CASE)
    if op == "prefix_attention":
        return problems.prefix_problem(CASE, 1, (16, 5))
    if op == "select_pages":
        return {
            "scores_bkp": jnp.asarray(rng.standard_normal((2, 2, 3)), jnp.float32),
            "lengths_b": jnp.asarray(CASE.lengths, jnp.int32),
            "page_table_bp": jnp.asarray(rng.permutation(6).reshape(2, 3), jnp.int32),
            "page_size": 16,
            "top_k": 2,
        }
    numbers = jnp.asarray(rng.standard_normal((24, 12)), jnp.float32)
    if op == "linear":
        return {"x_mc": numbers[:3], "weight": numbers.T}
    return {"table_vd": numbers, "ids_m": jnp.asarray([3, 0, 23], jnp.int32)}


def arrays(given: dict[str, Any]) -> dict[str, Any]:
    """Those that are arrays."""
    return {name: value for name, value in given.items() if hasattr(value, "shape")}
