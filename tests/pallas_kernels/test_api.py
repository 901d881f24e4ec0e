"""The public surface: what is refused and with which words, and what implementation=None picks."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

import pallas_kernels
from pallas_kernels import combine_partials, paged_attention
from pallas_kernels.errors import ArgumentError, UnknownImplementationError, UnsupportedError
from pallas_kernels.tuning import tuned
from tests.pallas_kernels import problems, small
from tests.pallas_kernels.op_tests import close
from tests.pallas_kernels.problems import Case

CASE = Case(lengths=(40, 3), listed=2)


def problem(**changes: Any) -> dict[str, Any]:
    return problems.attention_problem(CASE) | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_bnh": jnp.zeros((2, 3, 128))}, "3 query heads are not a multiple of 2 KV heads"),
        ({"query_bnh": jnp.zeros((2, 4, 256))}, "kv_pages store 128 numbers a head"),
        ({"query_bnh": jnp.zeros((2, 4, 128), jnp.float16)}, "bfloat16 or float32, not float16"),
        ({"kv_pages": jnp.zeros((9, 2, 32, 128))}, r"kv_pages is \[pages, K, 2, page size, H\]"),
        ({"kv_scales": jnp.ones((9, 2, 2))}, "kv_scales go with int8 and float8"),
        ({"page_ids_bkj": jnp.zeros((2, 1, 2), jnp.int32)}, r"page ids are \[2, 2, J\]"),
        ({"num_pages_bk": jnp.zeros((2,), jnp.int32)}, r"num_pages is \[2, 2\]"),
        ({"lengths_b": jnp.zeros((2,), jnp.float32)}, "lengths are int32, not float32"),
        ({"scale": -1.0}, "scale is positive"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        paged_attention(**problem(**changes))


def test_unknown_implementation_lists_the_known() -> None:
    with pytest.raises(UnknownImplementationError, match="'cuda'; known: None, reference, xla, tpu"):
        paged_attention(**problem(), implementation="cuda")


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_a_kernel_named_on_the_wrong_platform_raises_our_error(wrap: Any) -> None:
    call = wrap(lambda arrays: paged_attention(**arrays, implementation="tpu"))
    with pytest.raises(UnsupportedError, match="runs on tpu only") as caught:
        call(problem())
    assert caught.value.reason == "it runs on tpu only"


def test_a_shape_that_a_kernel_cannot_run_says_why_and_none_still_works() -> None:
    narrow = problems.attention_problem(Case(lengths=(40, 3), listed=2, head_dim=64, stored=64))
    with pytest.raises(UnsupportedError, match="multiple of 128 numbers a head, not 64"):
        paged_attention(**narrow, implementation="tpu")
    out, _ = paged_attention(**narrow)
    want, _ = paged_attention(**narrow, implementation="reference")
    close(out, want, 2e-6)


def test_select_needs_room_for_what_is_always_listed() -> None:
    with pytest.raises(ArgumentError, match="no room for 2 sink and 3 local pages"):
        pallas_kernels.select_pages(
            jnp.zeros((1, 1, 8)),
            jnp.ones((1,), jnp.int32),
            page_size=16,
            top_k=4,
            sink_pages=2,
            local_pages=3,
        )


class EveryOp(chex.TestCase):
    """With and without jit an op means the same."""

    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.parameters(*small.OPS)
    def test_what_is_picked_gives_what_the_op_means(self, op: str) -> None:
        given = small.arguments(op)
        arrays = small.arrays(given)
        options = {name: value for name, value in given.items() if name not in arrays}
        function = getattr(pallas_kernels, op)
        got = self.variant(lambda arrays: function(**arrays, **options))(arrays)
        want = function(**given, implementation="reference")
        chex.assert_trees_all_equal_shapes_and_dtypes(got, want)
        chex.assert_trees_all_close(got, want, atol=2e-5)


def test_partials_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    scores, values = rng.standard_normal((3, 2, 4, 10)), rng.standard_normal((3, 10, 16))
    scores[1, 0, 2] = -np.inf  # a partial without tokens

    def attend(scores: Any, values: Any) -> tuple[jax.Array, jax.Array]:
        weights = jnp.exp(scores)
        total = weights.sum(-1)
        out = jnp.einsum("bnt,th->bnh", weights, values) / jnp.maximum(total, 1e-30)[..., None]
        return out, jnp.log(total)

    parts = [attend(*part) for part in zip(scores, values, strict=True)]
    got = combine_partials(*(jnp.stack(part) for part in zip(*parts, strict=True)))
    want = attend(np.concatenate(scores, axis=-1), np.concatenate(values))
    close(got[0], want[0], 2e-6)
    close(got[1], want[1], 2e-6)


def test_no_partial_has_a_token() -> None:
    out, lse = combine_partials(jnp.zeros((2, 1, 1, 4)), jnp.full((2, 1, 1), -jnp.inf))
    assert out.tolist() == [[[0, 0, 0, 0]]]
    assert lse.tolist() == [[-np.inf]]


def test_a_chip_overrides_the_default_constants() -> None:
    assert tuned("paged_attention", "TPU v5")["cores"] == 2
    assert tuned("paged_attention", "TPU v5 lite")["cores"] == 1
    assert tuned("paged_attention", "a chip without a table") == tuned("paged_attention", "cpu")
