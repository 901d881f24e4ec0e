"""A sweep so small that it can be run hundreds of times: a tiny random model on three made-up problems."""

import json
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest

from kinetics_jax.sweep.engines import Engines
from kinetics_jax.sweep.options import read


@pytest.fixture(scope="session")
def problems(tmp_path_factory):
    """A GSM8K file of problems that nobody solves."""
    file = tmp_path_factory.mktemp("problems") / "gsm8k.jsonl"
    rows = [{"id": f"q{i}", "question": f"{i} + {i}?", "answer": str(2 * i)} for i in range(4)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="session")
def small(problems):
    """A function from options to a small experiment: 2 cells × 4 problems × 3 trials."""

    def make(**options):
        given = {
            "name": "small",
            "models": ("tiny-dense=random",),
            "policies": ("dense", "block_topk(16, 2)"),
            "tasks": (f"gsm8k={problems}",),
            "trials": 3,
            "max_tokens": 12,
            "chunk_steps": 4,
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "slice": {"chip": "b200", "slots": 3},
            "grade": False,
            "report": False,
            "max_context": 640,
            "prefill_chunk": 128,
        }
        return read(given | options)

    return make


class ReusedEngines(Engines):
    """Engines that outlive a sweep, so that what they have compiled is used by the next one."""

    kept = {}  # noqa: RUF012 - shared on purpose
    observer = None

    def __init__(self, experiment, observe):
        type(self).observer = staticmethod(observe)
        super().__init__(experiment, lambda progress: type(self).observer(progress))

    def engine(self, choice, policy, max_context):
        key = (choice.name, choice.slice, policy, max_context, self._experiment.engine)
        if key not in self.kept:
            self.kept[key] = super().engine(choice, policy, max_context)
        return self.kept[key]


@pytest.fixture(scope="session")
def engines():
    return ReusedEngines
