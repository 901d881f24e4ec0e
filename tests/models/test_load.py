"""What the loader takes, and how it refuses: one typed line that names file and tensor."""

import json
import shutil
import subprocess
import sys
import types

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kinetics_jax import models
from kinetics_jax.spec import InputError, presets


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = {}
    for preset, limit in (("tiny-dense", 2**30), ("tiny-moe", 40_000), ("tiny-tied", 2**30)):
        found[preset] = tmp_path_factory.mktemp(preset)
        model = models.Qwen3.init(presets[preset], jax.random.key(0), dtype="float32")
        models.save_hf(model, found[preset], max_file_bytes=limit)
    return found


@pytest.fixture
def checkpoint(folders, tmp_path):
    """A copy of the single-file dense checkpoint, to be spoilt."""
    return shutil.copytree(folders["tiny-dense"], tmp_path / "model")


def _change(folder, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


NORM = "model.layers.1.input_layernorm.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(NORM), f"{NORM!r} is missing"),
        (lambda t: t.update(extra=t[NORM]), "'extra' is no weight"),
        (lambda t: t.update({NORM: t[NORM][:-1]}), "has shape .63.; config.json makes it .64."),
        (lambda t: t.update({NORM: t[NORM].astype(np.int32)}), f"{NORM!r} is I32"),
        (lambda t: t.update({NORM: t[NORM].astype(np.float64)}), f"{NORM!r} is F64"),
    ],
)
def test_every_tensor_must_be_right(checkpoint, change, message):
    _change(checkpoint, change)
    with pytest.raises(models.CheckpointError, match=message) as caught:
        models.load(checkpoint)
    assert str(checkpoint) in str(caught.value)


def test_a_truncated_file_is_named(checkpoint):
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(models.CheckpointError, match=r"model\.safetensors: not a readable"):
        models.load(checkpoint)


@pytest.mark.parametrize(
    "place", ["../a.safetensors", "/etc/passwd", "a.bin", 3, "x\\y.safetensors"]
)
def test_an_index_cannot_point_out_of_its_folder(folders, tmp_path, place):
    folder = shutil.copytree(folders["tiny-moe"], tmp_path / "model")
    file = folder / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    index["weight_map"]["lm_head.weight"] = place
    file.write_text(json.dumps(index))
    with pytest.raises(models.CheckpointError, match=r"'lm_head.weight' is placed in"):
        models.load(folder)


def test_index_and_files_must_agree(folders, tmp_path):
    folder = shutil.copytree(folders["tiny-moe"], tmp_path / "model")
    file = folder / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    index["weight_map"]["lm_head.weight"] = index["weight_map"]["model.norm.weight"]
    file.write_text(json.dumps(index))
    with pytest.raises(models.CheckpointError, match=r"'lm_head.weight', against model.safe"):
        models.load(folder)
    (folder / index["weight_map"]["model.norm.weight"]).unlink()
    with pytest.raises(models.CheckpointError, match="no such file"):
        models.load(folder)


def test_pickle_is_never_read(checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(models.CheckpointError, match=r"pytorch_model\.bin is pickle"):
        models.load(checkpoint)


def test_a_config_of_a_billion_layers_costs_nothing(checkpoint):
    fields = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(fields | {"num_hidden_layers": 10**9}))
    with pytest.raises(models.CheckpointError, match=r"model\.layers\.2\.\S+ is missing"):
        models.load(checkpoint)


@pytest.mark.parametrize("stored", [np.float16, ml_dtypes.bfloat16, np.float32])
@pytest.mark.parametrize("asked", ["float32", "bfloat16", "float16"])
def test_stored_and_asked_dtypes(checkpoint, stored, asked):
    _change(checkpoint, lambda t: t.update({k: v.astype(stored) for k, v in t.items()}))
    expected = load_file(checkpoint / "model.safetensors")["lm_head.weight"]
    found = models.load(checkpoint, dtype=asked).arrays()["head.weight"]
    assert found.dtype == asked
    np.testing.assert_array_equal(found, expected.astype(found.dtype))


def test_fused_experts_are_the_same_model(folders, tmp_path):
    """The layout transformers 5 holds in memory: gate and up in one tensor of all experts."""
    fused: dict[str, np.ndarray] = {}
    stored = {
        k: v for f in folders["tiny-moe"].glob("*.safetensors") for k, v in load_file(f).items()
    }
    for layer in range(2):
        prefix = f"model.layers.{layer}.mlp.experts."
        take = lambda e, part, p=prefix: stored.pop(f"{p}{e}.{part}_proj.weight")  # noqa: E731
        experts = [[take(e, part) for part in ("gate", "up", "down")] for e in range(8)]
        fused[prefix + "gate_up_proj"] = np.stack([np.concatenate(e[:2]) for e in experts])
        fused[prefix + "down_proj"] = np.stack([e[2] for e in experts])
    save_file(stored | fused, tmp_path / "model.safetensors")
    shutil.copy(folders["tiny-moe"] / "config.json", tmp_path)
    expected = models.load(folders["tiny-moe"], dtype="float32").arrays()
    for path, array in models.load(tmp_path, dtype="float32").arrays().items():
        np.testing.assert_array_equal(array, expected[path])


def test_a_tied_head_may_be_stored_only_as_a_copy(folders, tmp_path):
    folder = shutil.copytree(folders["tiny-tied"], tmp_path / "model")
    _change(folder, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].copy()}))
    models.load(folder)
    _change(folder, lambda t: t["lm_head.weight"].__setitem__((3, 4), 1))
    with pytest.raises(models.CheckpointError, match="differs from the embedding"):
        models.load(folder)


@pytest.mark.parametrize("path", ["nowhere", "/no/such/place", "./a/b", "a/b/c"])
def test_no_such_folder(path):
    with pytest.raises(models.CheckpointError, match="no such folder"):
        models.load(path)


def test_a_hub_name_is_downloaded(folders, monkeypatch):
    hub, errors = types.ModuleType("huggingface_hub"), types.ModuleType("huggingface_hub.errors")
    errors.HfHubHTTPError = errors.HFValidationError = type("HubError", (OSError,), {})

    def snapshot_download(name, allow_patterns):
        assert not any("bin" in pattern for pattern in allow_patterns)
        if name == "org/model":
            return str(folders["tiny-dense"])
        raise errors.HfHubHTTPError("404: not found\nmore")

    hub.snapshot_download, hub.errors = snapshot_download, errors
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    assert models.load("org/model").config.model_dim == 64
    with pytest.raises(models.CheckpointError, match="404: not found"):
        models.load("org/other")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(models.CheckpointError, match="not installed"):
        models.load("org/model")


def test_options_are_checked(folders):
    with pytest.raises(InputError, match="dtype='int8'"):
        models.load(folders["tiny-dense"], dtype="int8")
    with pytest.raises(InputError, match="quantize='int3'"):
        models.load(folders["tiny-dense"], quantize="int3")


@pytest.mark.slow
def test_convert_there_and_back(folders, tmp_path):
    def convert(*options):
        subprocess.run([sys.executable, "-m", "experiments.convert", *options], check=True)

    convert(f"--source={folders['tiny-moe']}", f"--out={tmp_path / 'o'}", "--dtype=float32")
    convert(f"--source={tmp_path / 'o'}", f"--out={tmp_path / 'hf'}", "--to=hf")
    first, again = (
        models.load(f, dtype="float32").arrays() for f in (folders["tiny-moe"], tmp_path / "hf")
    )
    assert all(np.array_equal(first[path], again[path]) for path in first)
