"""Weights are known by what is in them: any byte counts, wherever it stands; nothing beside them does."""

import json
import os
import shutil
import sys
import types

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints.checkpoint import CheckpointError
from kinetics_jax.shapes import presets
from kinetics_jax.sweep import digests, manifest
from kinetics_jax.sweep.digests import FileDigests, former_fingerprint, weights_digest
from kinetics_jax.sweep.model_sources import fingerprint
from kinetics_jax.sweep.sweep import Sweep, load_tasks


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    models.save_hf(models.Qwen3.init(presets["tiny-dense"], jax.random.key(0), dtype="float32"), folder)
    (folder / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {"a": 0}}}')
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def digest(folder):
    return weights_digest(folder, FileDigests())


def resharded(folder):
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors, reverse=True)
    os.remove(folder / "model.safetensors")
    for part in range(3):
        save_file({name: tensors[name] for name in names[part::3]}, folder / f"p{part}.safetensors")
    placed = {name: f"p{number % 3}.safetensors" for number, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))


def rewritten(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file(dict(reversed(tensors.items())), folder / "model.safetensors", metadata={"by": "me"})


def relaid(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"transformers_version": "99", "_name_or_path": "/somewhere"}
    (folder / "config.json").write_text(json.dumps(config, indent=7, sort_keys=True))


def beside(folder):
    (folder / "README.md").write_text("a model")
    (folder / "notes.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "vocab.json").write_text('{"a": 0}')  # there is a tokenizer.json
    (folder / "original").mkdir()
    (folder / "original" / "model.safetensors").write_bytes(b"x")


@pytest.mark.parametrize("edit", [resharded, rewritten, relaid, beside])
def test_what_does_not_matter_to_the_model_does_not_matter(original, folder, edit):
    before = digest(original)
    assert before.startswith("sha256:")
    edit(folder)
    assert digest(folder) == before


def flip(folder, at, name="model.safetensors"):
    with open(folder / name, "r+b") as stream:
        stream.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))


def edit_json(folder, name, **fields):
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | fields))


def swap_names(folder):
    tensors = load_file(folder / "model.safetensors")
    one, two = "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"
    tensors[one], tensors[two] = tensors[two], tensors[one]
    save_file(tensors, folder / "model.safetensors")


def another_shape(folder):
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.gate_proj.weight"
    tensors[name] = np.ascontiguousarray(tensors[name].reshape(tensors[name].shape[::-1]))
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    "edit",
    [
        lambda f: flip(f, os.path.getsize(f / "model.safetensors") // 2),
        lambda f: flip(f, -1),
        swap_names,
        another_shape,
        lambda f: edit_json(f, "config.json", rope_theta=5.0),
        lambda f: edit_json(f, "tokenizer.json", added_tokens=[1]),
        lambda f: (f / "chat_template.jinja").write_text("{{ message }}"),
        lambda f: (f / "generation_config.json").write_text('{"eos_token_id": 1}'),
    ],
)
def test_what_matters_does(original, folder, edit):
    edit(folder)
    assert digest(folder) != digest(original)


def test_the_middle_of_a_large_file_counts(small, tmp_path):
    """Two megabytes at the ends were all that once did."""
    file = tmp_path / "m.gguf"
    file.write_bytes(b"x" * 5_000_000)
    (choice,) = small(models=(f"tiny-dense={file}",), slice={}).models
    before = fingerprint(choice)
    flip(tmp_path, 2_500_000, "m.gguf")
    assert fingerprint(choice) != before
    shutil.copy(file, tmp_path / "other-name.gguf")
    (other,) = small(models=(f"tiny-dense={tmp_path / 'other-name.gguf'}",), slice={}).models
    assert fingerprint(other) == fingerprint(choice)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"x" * 30,
        (1 << 50).to_bytes(8, "little") + b"{}",
        (9).to_bytes(8, "little") + b'{"a":{}}  ',
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_files_that_are_no_safetensors_have_a_digest_too(tmp_path, junk):
    """What is wrong with them is for loading to say."""
    (tmp_path / "model.safetensors").write_bytes(junk)
    before = digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(junk + b"y")
    assert digest(tmp_path) != before


def test_all_parts_of_a_gguf_model_count_whichever_is_named(tmp_path):
    for number, data in enumerate([b"one", b"two", b"three"], 1):
        (tmp_path / f"m-{number:05}-of-00003.gguf").write_bytes(data)
    (tmp_path / "m-00001-of-00002.gguf").write_bytes(b"of another model")
    first, last = tmp_path / "m-00001-of-00003.gguf", tmp_path / "m-00003-of-00003.gguf"
    before = weights_digest(first, FileDigests())
    assert weights_digest(last, FileDigests()) == before
    last.write_bytes(b"other")
    assert weights_digest(first, FileDigests()) != before


def test_a_file_is_read_once_while_it_stays_as_it_is(folder, monkeypatch):
    read = []
    real = digests._digest
    monkeypatch.setattr(digests, "_digest", lambda file: read.append(file.name) or real(file))
    monkeypatch.setattr(digests, "_SETTLED_NANOSECONDS", -1)
    files = FileDigests()
    first = weights_digest(folder, files)
    assert "model.safetensors" in read
    read.clear()
    again = FileDigests()
    again.add(json.loads(json.dumps(files.stamps())))
    assert weights_digest(folder, again) == first
    assert read == []
    flip(folder, -1)
    assert weights_digest(folder, again) != first
    assert read == ["model.safetensors"]


def test_a_file_that_has_just_changed_is_not_taken_at_its_stamp(folder):
    files = FileDigests()
    weights_digest(folder, files)
    assert not files.stamps()


# In a sweep.


def described(small, root=None, **options):
    experiment = small(**options)
    earlier = manifest.read(root) if root else None
    return manifest.describe(experiment, load_tasks(experiment), earlier=earlier)


def test_a_sweep_goes_on_with_a_copy_and_refuses_other_weights(small, original, folder, tmp_path):
    root = tmp_path / "out"
    root.mkdir()
    manifest.write(root, described(small, models=(f"tiny-dense={original}",)))
    beside(folder)
    copy = {"models": (f"tiny-dense={folder}",)}
    manifest.check(root, described(small, root, **copy))
    flip(folder, -1)
    with pytest.raises(InputError, match="models tiny-dense weights is"):
        manifest.check(root, described(small, root, **copy))


def test_a_digest_of_an_earlier_version_still_opens_its_sweep(small, folder, tmp_path):
    options = {"models": (f"tiny-dense={folder}",)}
    old = described(small, **options)
    old["models"]["tiny-dense"]["weights"] = former_fingerprint(folder)
    root = tmp_path / "out"
    root.mkdir()
    manifest.write(root, old)
    manifest.check(root, described(small, root, **options))
    flip(folder, -1)
    with pytest.raises(InputError, match="weights is"):
        manifest.check(root, described(small, root, **options))


@pytest.mark.parametrize("there", ["auto", "float32"])
@pytest.mark.parametrize("here", ["auto", "float32"])
def test_auto_is_the_dtype_that_it_stands_for(small, tmp_path, there, here):
    old = described(small, dtype="auto")
    assert old["dtype"] == "float32"  # on a CPU
    manifest.write(tmp_path, old | {"dtype": there})  # "auto": of an earlier version
    manifest.check(tmp_path, described(small, tmp_path, dtype=here))
    with pytest.raises(InputError, match="dtype is"):
        manifest.check(tmp_path, described(small, tmp_path, dtype="bfloat16"))


def test_auto_on_an_accelerator(small, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    manifest.write(tmp_path, described(small))
    manifest.check(tmp_path, described(small, tmp_path, dtype="bfloat16"))
    monkeypatch.undo()
    with pytest.raises(InputError, match='dtype is "bfloat16", not "float32"'):
        manifest.check(tmp_path, described(small, tmp_path))
    experiment = small()  # grading and merging on a CPU is another matter
    manifest.check(
        tmp_path,
        manifest.describe(experiment, load_tasks(experiment), earlier=manifest.read(tmp_path), decodes=False),
    )


COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture
def hub(original, tmp_path, monkeypatch):
    """A hub with two commits of ``org/tiny``; says what was asked of it."""
    module, errors = types.ModuleType("huggingface_hub"), types.ModuleType("huggingface_hub.errors")
    errors.HfHubHTTPError = errors.HFValidationError = type("HubError", (OSError,), {})
    module.errors, module.asked, module.main = errors, [], 0
    for number, commit in enumerate(COMMITS):
        snapshot = shutil.copytree(original, tmp_path / "hub" / "snapshots" / commit)
        if number:
            flip(snapshot, -1)

    def snapshot_download(name, allow_patterns, revision=None):
        module.asked.append((name, revision))
        if module.main is None and revision not in COMMITS:
            raise errors.HfHubHTTPError("no network")
        commit = COMMITS[module.main] if revision in (None, "main") else revision
        if commit not in COMMITS:
            raise errors.HfHubHTTPError("404: no such revision")
        return str(tmp_path / "hub" / "snapshots" / commit)

    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return module


def test_a_sweep_stays_at_the_commit_that_it_began_with(small, hub, tmp_path):
    options = {"models": ("tiny-dense=org/tiny",)}
    manifest.write(tmp_path, described(small, **options))
    assert manifest.read(tmp_path)["models"]["tiny-dense"]["weights"] == f"org/tiny@{COMMITS[0]}"
    hub.main = 1  # somebody pushes
    now = described(small, tmp_path, **options)
    manifest.check(tmp_path, now)
    (choice,) = manifest.pin(small(**options), now).models
    assert choice.source == f"org/tiny@{COMMITS[0]}"
    hub.main, hub.asked = None, []  # and the network goes
    manifest.check(tmp_path, described(small, tmp_path, **options))
    assert hub.asked == []
    array = models.load(choice.source, dtype="float32")
    assert hub.asked == [("org/tiny", COMMITS[0])]
    assert array.config.model_dim == 64


@pytest.mark.parametrize("revision", [COMMITS[1], "main"])
def test_another_revision_is_another_experiment(small, hub, tmp_path, revision):
    manifest.write(tmp_path, described(small, models=("tiny-dense=org/tiny",)))
    hub.main = 1
    other = described(small, tmp_path, models=(f"tiny-dense=org/tiny@{revision}",))
    with pytest.raises(InputError, match="weights is"):
        manifest.check(tmp_path, other)
    same = described(small, tmp_path, models=(f"tiny-dense=org/tiny@{COMMITS[0]}",))
    manifest.check(tmp_path, same)


def test_a_manifest_without_a_revision_takes_one_on(small, hub, tmp_path):
    options = {"models": ("tiny-dense=org/tiny",)}
    old = described(small, **options)
    old["models"]["tiny-dense"]["weights"] = "org/tiny"
    manifest.write(tmp_path, old)
    now = described(small, tmp_path, **options)
    manifest.check(tmp_path, now)
    manifest.write(tmp_path, now)
    assert manifest.read(tmp_path)["models"]["tiny-dense"]["weights"].endswith(COMMITS[0])


def test_a_mirror_that_has_no_commits_is_known_by_its_content(small, hub, original, tmp_path):
    hub.snapshot_download = lambda name, allow_patterns: str(original)
    found = described(small, models=("tiny-dense=org/tiny",))
    assert found["models"]["tiny-dense"]["weights"] == digest(original)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("org/tiny@", "no revision after @"),
        ("org/tiny@gone", "404: no such revision"),
        ("nowhere@main", "no such folder"),
    ],
)
def test_revisions_that_are_not_there(hub, source, words):
    with pytest.raises(CheckpointError, match=words) as caught:
        models.load(source)
    assert "\n" not in str(caught.value)


def test_a_whole_sweep_of_the_hub(small, engines, hub, tmp_path):
    options = {"models": ("tiny-dense=org/tiny",), "policies": ("dense",), "trials": 1}
    root = tmp_path / "out"
    experiment = small(**options)
    sources = []

    class Opener(engines):
        def engine(self, choice, policy, max_context):
            sources.append(choice.source)
            return super().engine(choice, policy, max_context)

        def tokenizer(self, choice):
            return models.ByteTokenizer()

    assert Sweep(experiment, root, opener=Opener, quiet=True).run().complete
    hub.main = 1
    again = Sweep(small(**(options | {"trials": 2})), root, opener=Opener, quiet=True).run()
    assert again.complete
    assert set(sources) == {f"org/tiny@{COMMITS[0]}"}
    hub.snapshot_download = None  # merging asks the hub for nothing
    assert Sweep(small(**(options | {"trials": 2})), root, quiet=True).finish().done == 8
