"""transformers → ours → transformers gives the tensors back, bit for bit."""

import dataclasses
import errno
import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints import save
from kinetics_jax.shapes import ModelConfig, presets


def _tensors(folder) -> dict[str, np.ndarray]:
    return {k: v for file in folder.glob("*.safetensors") for k, v in load_file(file).items()}


def _assert_same(first, second) -> None:
    assert first.keys() == second.keys()
    for key, tensor in first.items():
        assert tensor.dtype == second[key].dtype, key
        assert tensor.tobytes() == second[key].tobytes(), key


@pytest.mark.parametrize(
    "variant",
    [
        "ratio2-tied",
        "ratio8-bias",
        "yarn-scaled",
        "qwen2",
        "moe-2of4",
        "llama3",
        "llama-bias",
        "moe-every-2",
        "moe-first-dense",
    ],
)
def test_round_trip_through_transformers(variant, tmp_path):
    torch = pytest.importorskip("torch", reason="the oracle is transformers on torch")
    pytest.importorskip("transformers", reason="the oracle is transformers")
    from tests.models import oracle

    theirs = oracle.write(variant, tmp_path / "theirs")
    models.save_hf(models.load(tmp_path / "theirs", dtype="float32"), tmp_path / "ours")
    _assert_same(_tensors(tmp_path / "theirs"), _tensors(tmp_path / "ours"))

    again = oracle.read(variant, tmp_path / "ours", torch.float32)
    for key, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key
    tokens = np.arange(20)[None]
    assert np.array_equal(oracle.logits(theirs, tokens), oracle.logits(again, tokens))


@pytest.mark.parametrize("preset", ["tiny-dense", "tiny-tied", "tiny-qwen2", "tiny-moe", "tiny-mixed"])
@pytest.mark.parametrize(("unroll", "limit"), [(False, 2**40), (True, 40_000)])
def test_round_trip_of_our_own(preset, unroll, limit, tmp_path):
    model = models.Qwen3.init(presets[preset], jax.random.key(1), unroll=unroll)
    models.save_hf(model, tmp_path, max_file_bytes=limit)
    assert (len(list(tmp_path.glob("*.safetensors"))) == 1) is (limit == 2**40)
    again = models.load(tmp_path, unroll=unroll)
    config = dataclasses.replace(again.config, name=model.config.name)
    assert config == model.config
    _assert_same(
        {k: np.asarray(v) for k, v in model.arrays().items()},
        {k: np.asarray(v) for k, v in again.arrays().items()},
    )


def test_saving_again_leaves_no_stale_files(tmp_path):
    for preset, limit in (("tiny-moe", 30_000), ("tiny-dense", 2**30)):
        model = models.Qwen3.init(presets[preset], jax.random.key(0))
        models.save_hf(model, tmp_path, max_file_bytes=limit)
    assert [file.name for file in tmp_path.glob("*safetensors*")] == ["model.safetensors"]
    models.load(tmp_path)


def _holds(folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "pytorch_model.bin",
        "x.gguf",
        "config.json",
        "model.safetensors.index.json",
    ],
)
def test_another_models_files_are_never_touched(name, tmp_path):
    (tmp_path / name).write_bytes(b"another's")
    (tmp_path / "tokenizer.json").write_text("{}")
    before = _holds(tmp_path)
    with pytest.raises(InputError, match=f"holds {name}, which belongs to another model"):
        models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(0)), tmp_path)
    assert _holds(tmp_path) == before


def test_a_model_that_was_loaded_is_not_saved_over_its_checkpoint(tmp_path):
    folder = tmp_path / "theirs"
    models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(0)), folder)
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})  # another program's
    before = _holds(folder)
    with pytest.raises(InputError, match=r"holds model\.safetensors"):
        models.save_hf(models.load(folder), folder)
    assert _holds(folder) == before


def test_a_tokenizer_that_is_there_stays(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    for seed in (0, 1):
        models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(seed)), tmp_path)
    assert sorted(_holds(tmp_path)) == ["config.json", "model.safetensors", "tokenizer.json"]
    models.load(tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_what_was_there(there, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    if there:
        models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(0)), folder)
    before = _holds(folder) if there else None

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(save, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(1)), folder)
    assert sorted(tmp_path.iterdir()) == ([folder] if there else [])
    if there:
        assert _holds(folder) == before


def test_hard_links_to_an_earlier_model_are_not_written_through(tmp_path):
    folder, kept = tmp_path / "model", tmp_path / "kept"
    kept.mkdir()
    models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(0)), folder)
    for file in folder.iterdir():
        (kept / file.name).hardlink_to(file)
    before = _holds(kept)
    models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(1)), folder)
    assert _holds(kept) == before
    assert _holds(folder)["model.safetensors"] != before["model.safetensors"]


def test_an_object_store_and_a_file_are_refused(tmp_path):
    model = models.Qwen3.init(presets["tiny-dense"], jax.random.key(0))
    (tmp_path / "file").write_text("x")
    for path, says in (("gs://bucket/m", "is an object store"), (tmp_path / "file", "is a file")):
        with pytest.raises(InputError, match=says):
            models.save_hf(model, path)


def test_config_survives_both_spellings(tmp_path):
    model = models.Qwen3.init(presets["tiny-moe"], jax.random.key(0))
    models.save_hf(model, tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    fields["num_local_experts"] = fields.pop("num_experts")  # as transformers 5 writes
    fields["rope_parameters"] = {"rope_type": "default", "rope_theta": fields.pop("rope_theta")}
    assert dataclasses.replace(ModelConfig.from_hf(fields), name="") == dataclasses.replace(
        ModelConfig.from_hf(tmp_path), name=""
    )


def test_what_cannot_be_exported(tmp_path):
    odd = dataclasses.replace(presets["tiny-dense"], qkv_bias=True)
    with pytest.raises(InputError, match="no Hugging Face class"):
        models.save_hf(models.Qwen3.init(odd, jax.random.key(0)), tmp_path)
