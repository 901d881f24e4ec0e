"""Samples of a prompt stacked in groups, when all of them are too many queries for one matrix."""

import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels.paged_attention import reference
from pallas_kernels.prefix_attention.compose import attend_in_two_parts, num_groups
from tests.pallas_kernels import problems
from tests.pallas_kernels.op_tests import typed
from tests.pallas_kernels.problems import Case


@pytest.mark.parametrize(
    ("samples", "max_rows", "groups"),
    [(8, None, 1), (8, 16, 1), (8, 15, 2), (8, 4, 4), (8, 1, 8), (6, 5, 3), (7, 4, 7)],
)
def test_the_fewest_equal_groups_that_fit(samples, max_rows, groups):
    """Two queries a KV head and sample."""
    assert num_groups((3 * samples, 4, 128), 3, 2, max_rows) == groups


@pytest.mark.parametrize("max_rows", [None, 4, 2])
def test_groups_change_nothing(max_rows):
    case = Case(lengths=(40, 0, 33, 1, 64, 70, 5, 90), listed=3)
    problem = problems.prefix_problem(case, 4, (70, 33))
    call = typed("prefix_attention", problem)

    def attend(rows):
        return attend_in_two_parts(reference.paged_attention, call, max_rows=rows)

    for ours, want in zip(attend(max_rows), attend(None), strict=True):
        assert np.isfinite(jnp.nan_to_num(want, neginf=0)).all()
        np.testing.assert_allclose(ours, want, atol=2e-6)
