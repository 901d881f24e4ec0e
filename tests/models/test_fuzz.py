"""Damaged checkpoints: one typed line or a whole model; no crash, no hang, no runaway allocation."""

import json
import pathlib
import select
import shutil
import subprocess
import sys

import jax
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kinetics_jax import models
from kinetics_jax.shapes import presets
from tests.models import mutate

_SECONDS = 30
# Of Python and NumPy while loading: headers as objects, and tensors as wide as they are stored.
_TRACED_LIMIT = 16 * 2**20


class Worker:
    """A child process that loads folders; started anew after it died."""

    def __init__(self, whole: list[pathlib.Path]) -> None:
        self.whole = whole
        self.child: subprocess.Popen | None = None

    def load(self, folder: pathlib.Path) -> dict:
        """What the child says of ``folder``; an AssertionError where it died or was silent."""
        if self.child is None:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.models.load_worker"],
                text=True,
                bufsize=1,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=pathlib.Path(__file__).parents[2],
            )
            self._say(json.dumps([str(path) for path in self.whole]))
            for _ in self.whole:
                answer = self._answer(10 * _SECONDS)
                assert answer == answer | {"refused": None, "bug": None}
        self._say(str(folder))
        return self._answer(_SECONDS)

    def close(self) -> None:
        """End the child."""
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
            self.child = None

    def _say(self, line: str) -> None:
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def _answer(self, seconds: float) -> dict:
        if not select.select([self.child.stdout], [], [], seconds)[0]:
            self.close()
            raise AssertionError(f"the loader gave no answer in {seconds} s")
        line = self.child.stdout.readline()
        if not line:
            code = self.child.wait()
            self.close()
            raise AssertionError(f"the loader's process died ({code})")
        return json.loads(line)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[pathlib.Path]:
    """A single file with a generation config, and an index with shards."""
    folders = []
    for preset, limit in (("tiny-dense", 2**30), ("tiny-moe", 40_000)):
        folder = tmp_path_factory.mktemp(preset)
        model = models.Qwen3.init(presets[preset], jax.random.key(0))
        models.save_hf(model, folder, max_file_bytes=limit)
        (folder / "generation_config.json").write_text('{"eos_token_id": [258, 256]}')
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def worker(whole):
    found = Worker(whole)
    yield found
    found.close()


def _check(worker: Worker, folder: pathlib.Path, damage: mutate.Damage) -> bool:
    """Whether the folder was refused; an AssertionError where it was not handled as it should be."""
    done, answer = damage.done, worker.load(folder)
    assert answer["bug"] is None, f"{done}: {answer['bug']}"
    assert answer["traced_bytes"] < _TRACED_LIMIT, f"{done}: {answer['traced_bytes']} bytes"
    message = answer["refused"]
    if message is None:
        return False
    assert len(message.splitlines()) == 1, f"{done}: {message!r}"
    assert str(folder) in message, f"{done}: {message}"
    named = any(name in message for name in (*damage.files, "tensor '", "holds neither"))
    assert named, f"{done}: {message}"
    return True


def _fuzz(worker: Worker, whole: list[pathlib.Path], tmp_path: pathlib.Path, **profile) -> None:
    originals = [{f.name: f.read_bytes() for f in sorted(folder.iterdir())} for folder in whole]
    refused = []

    # No shrinking: one mutation is small already, and every try at a hang would take its time.
    @settings(
        deadline=None,
        phases=(Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        **profile,
    )
    @given(st.sampled_from(originals).flatmap(mutate.damaged))
    def survives(damage: mutate.Damage) -> None:
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        mutate.write(damage.files, folder)
        refused.append(_check(worker, folder, damage))

    survives()
    assert len(refused) >= profile["max_examples"]
    assert 0.5 < sum(refused) / len(refused) < 1  # damage that matters, and some that does not


def test_damaged_checkpoints(worker, whole, tmp_path):
    _fuzz(worker, whole, tmp_path, max_examples=200, derandomize=True)


@pytest.mark.slow
def test_damaged_checkpoints_at_length(worker, whole, tmp_path):
    """Other damage on every run; hypothesis keeps what failed and begins with it."""
    _fuzz(worker, whole, tmp_path, max_examples=2500)
