"""Eight fake CPU devices for the sharding tests; set before JAX starts its back end."""

import jax
import pytest

from tests.fake_devices import pretend

pretend()


@pytest.fixture(autouse=True)
def _quick_compilation():
    """These tests compile far more than they compute: a third of the time without LLVM's passes."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
