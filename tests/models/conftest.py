"""What every test of models shares: quick compilation."""

import jax
import pytest


@pytest.fixture(autouse=True)
def _quick_compilation():
    """These tests compile far more than they compute: a third of the time without LLVM's passes."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
