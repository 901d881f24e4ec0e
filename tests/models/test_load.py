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
from kinetics_jax.errors import InputError
from kinetics_jax.shapes import presets


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
        (lambda t: t.update({NORM: t[NORM].astype(np.uint8)}), "is U8; .*quantised checkpoints of this kind"),
        (lambda t: t.update({NORM: t[NORM][:0]}), "shape .0.; .*DeepSpeed ZeRO-3"),
        (lambda t: t.pop("lm_head.weight"), "'lm_head.weight' is missing .a tied model's config.json"),
        (
            lambda t: t.update({NORM.replace("weight", "lora_A.weight"): t[NORM]}),
            "adapter that is not merged",
        ),
        (lambda t: t.update({f"module.{NORM}": t[NORM]}), "'module.model.layers.1.*' is no weight"),
        (lambda t: t.update({NORM.replace("1.", "1._orig_mod."): t[NORM]}), "are both 'model.layers.1."),
    ],
)
def test_every_tensor_must_be_right(checkpoint, change, message):
    _change(checkpoint, change)
    with pytest.raises(models.CheckpointError, match=message) as caught:
        models.load(checkpoint)
    assert str(checkpoint) in str(caught.value)


def test_a_truncated_file_is_named(checkpoint):
    file = checkpoint / "model.safetensors"
    whole = file.read_bytes()
    for length in (len(whole) - 5, len(whole) // 2, 300, 5):
        file.write_bytes(whole[:length])
        with pytest.raises(models.CheckpointError, match=r"safetensors: not a readable.*cut short"):
            models.load(checkpoint)


@pytest.mark.parametrize(
    ("stands", "problem"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 15\n", "is a Git LFS pointer"),
        (b"<!doctype html><title>Not Found</title>", "is a web page"),
        (b"Access to model org/m is restricted. You must", "ask for access"),
        (b"", "is empty"),
        (bytes(5000), "download did not finish"),
        (b"PK\x03\x04..", "PyTorch pickle"),
    ],
)
def test_what_stands_in_place_of_the_weights_is_named(stands, problem, folders, tmp_path):
    for preset in ("tiny-dense", "tiny-moe"):  # one file, and an index with several
        folder = shutil.copytree(folders[preset], tmp_path / preset)
        file = min(folder.glob("*.safetensors"))
        file.write_bytes(stands)
        with pytest.raises(models.CheckpointError, match=problem) as caught:
            models.load(folder)
        assert file.name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_link_to_nothing_is_called_that(checkpoint):
    file = checkpoint / "model.safetensors"
    file.unlink()
    file.symlink_to(checkpoint / "blobs" / "gone")
    with pytest.raises(models.CheckpointError, match="is a link to a file that is not there"):
        models.load(checkpoint)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("adapter_model.safetensors", "is an adapter .LoRA. only: merge it"),
        ("consolidated.safetensors", "is in its maker's own format"),
        ("pytorch_model-00001-of-00002.bin", "is pickle, which is never read: convert it"),
        ("model-00001-of-00003.safetensors", "is not indexed"),
        ("model-Q4_K_M.gguf", "is a GGUF file: give its path"),
        ("tf_model.h5", "is TensorFlow's"),
        ("checkpoint-500", "is a checkpoint inside this folder"),
    ],
)
def test_a_folder_of_something_else_says_what_it_is(name, problem, checkpoint):
    (checkpoint / "model.safetensors").rename(checkpoint / name)
    with pytest.raises(models.CheckpointError, match=f"{name} {problem}"):
        models.load(checkpoint)


def test_a_folder_of_the_hubs_cache_is_its_revision_in_use(folders, tmp_path):
    cache = tmp_path / "models--org--tiny"
    for revision in ("aaa", "bbb"):
        snapshot = cache / "snapshots" / revision
        snapshot.mkdir(parents=True)
        for file in folders["tiny-dense"].iterdir():
            blob = cache / "blobs" / f"{revision}-{file.name}"
            blob.parent.mkdir(exist_ok=True)
            shutil.copy(file, blob)
            (snapshot / file.name).symlink_to(blob)
    with pytest.raises(models.CheckpointError, match="holds 2 revisions"):
        models.load(cache)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("bbb\n")
    shutil.rmtree(cache / "snapshots" / "aaa")
    assert models.load(cache).config.name == models.load(cache / "snapshots" / "bbb").config.name == "tiny"


@pytest.mark.parametrize("place", ["../a.safetensors", "/etc/passwd", "a.bin", 3, "x\\y.safetensors"])
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
    with pytest.raises(models.CheckpointError, match=r"no such file, though .*\.json names it .1 of "):
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


@pytest.mark.parametrize("stored", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
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
    stored = {k: v for f in folders["tiny-moe"].glob("*.safetensors") for k, v in load_file(f).items()}
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
    for dtype in (ml_dtypes.bfloat16, np.float64, np.float16):  # rounded, or made wider
        table = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
        head = {"lm_head.weight": table.astype(dtype)}
        _change(folder, lambda t, h=head: t.update(h))
        plain, found = models.load(folders["tiny-tied"]).arrays(), models.load(folder).arrays()
        assert plain.keys() == found.keys()
        np.testing.assert_array_equal(plain["embed.weight"], found["embed.weight"])
    twice = table.astype(ml_dtypes.bfloat16).astype(np.float32)  # equal in bfloat16 alone
    _change(folder, lambda t: t.update({"lm_head.weight": twice}))
    models.load(folder)
    with pytest.raises(models.CheckpointError, match=r"differs from the embedding.*set tie_word"):
        models.load(folder, dtype="float32")
    _change(folder, lambda t: t["lm_head.weight"].__setitem__((3, 4), 1))
    with pytest.raises(models.CheckpointError, match="differs from the embedding"):
        models.load(folder)


def test_a_tied_head_may_stand_alone(folders, tmp_path):
    folder = shutil.copytree(folders["tiny-tied"], tmp_path / "model")
    _change(folder, lambda t: t.update({"lm_head.weight": t.pop("model.embed_tokens.weight")}))
    _same_arrays(folder, folders["tiny-tied"])


def _same_arrays(folder, plain):
    expected, found = (models.load(f, dtype="float32").arrays() for f in (plain, folder))
    assert expected.keys() == found.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(array, found[path], err_msg=path)


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name.removeprefix("model."),  # a base model's own names
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"base_model.model.{name}",
        lambda name: f"language_model.{name}",
        lambda name: f"model.{name}",
        lambda name: f"module._orig_mod.{name}".replace("layers.1.", "layers.1._fsdp_wrapped_module."),
        lambda name: name.replace("mlp.", "_checkpoint_wrapped_module.mlp."),
        lambda name: name.replace("model.", "actor.") if name.startswith("model.") else f"actor.{name}",
    ],
)
@pytest.mark.parametrize("preset", ["tiny-dense", "tiny-tied"])
def test_names_that_wrappers_leave(preset, spell, folders, tmp_path):
    folder = shutil.copytree(folders[preset], tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    save_file({spell(name): t for name, t in tensors.items()}, folder / "model.safetensors")
    _same_arrays(folder, folders[preset])


def test_two_models_in_one_file_are_refused(checkpoint):
    tensors = load_file(checkpoint / "model.safetensors")
    both = {f"{who}.{name}": t for name, t in tensors.items() for who in ("actor", "critic")}
    save_file(both, checkpoint / "model.safetensors")
    with pytest.raises(models.CheckpointError, match=r"holds 2 models, under actor\.model\. and critic"):
        models.load(checkpoint)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_stored_rotary_buffers_are_no_weights(dtype, folders, tmp_path):
    folder = shutil.copytree(folders["tiny-dense"], tmp_path / "model")
    names = ["model.rotary_emb.inv_freq", "model.rotary_emb.original_inv_freq"]
    names += [
        f"model.layers.{n}.self_attn.rotary_emb.{b}"
        for n in (0, 1)
        for b in ("inv_freq", "cos_cached", "sin_cached")
    ]
    _change(folder, lambda t: t.update({name: np.ones(16, dtype) for name in names}))
    _same_arrays(folder, folders["tiny-dense"])


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
    first, again = (models.load(f, dtype="float32").arrays() for f in (folders["tiny-moe"], tmp_path / "hf"))
    assert all(np.array_equal(first[path], again[path]) for path in first)
