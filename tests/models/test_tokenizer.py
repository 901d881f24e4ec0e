"""Text ↔ ids and chat templates, on tokenizers small enough to build here."""

import json

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from kinetics_jax import models
from kinetics_jax.models.chat_template import ChatTemplate, ChatTemplateError
from kinetics_jax.models.tokenizer import ByteTokenizer
from kinetics_jax.spec import presets

CHAT = [{"role": "user", "content": "7·8?"}]
TEMPLATE = (
    "{%- for m in messages %}<|im_start|>{{ m.role }}:{{ m.content }}<|im_end|>\n  {%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant:"
    "{%- if enable_thinking is defined and enable_thinking is false %}<think></think>{%- endif %}"
    "{%- endif %}"
)


@given(st.text())
def test_bytes_round_trip(text):
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert all(0 <= token < tokenizer.vocab_size for token in tokenizer.encode(text))


def test_byte_symbols():
    tokenizer = models.load_tokenizer("bytes")
    assert tokenizer.encode("a<think>é<|im_end|>") == [97, 259, 0xC3, 0xA9, 258]
    assert tokenizer.decode([97, 258, 98], skip_special=True) == "ab"
    assert tokenizer.decode([0xC3, 300]) == "\ufffd\ufffd"
    config = presets["tiny-dense"]
    assert config.vocab_size == tokenizer.vocab_size
    assert tokenizer.encode("<|im_end|>") == list(config.eos_token_ids)
    assert tokenizer.encode("<|pad|>") == [config.pad_token_id]
    assert tokenizer.decode(tokenizer.chat(CHAT)) == (
        "<|im_start|>user\n7·8?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(tokenizer.chat(CHAT, thinking=False)).endswith("\n<think></think>")


@pytest.fixture
def folder(tmp_path):
    words = ["user", "assistant", ":", "7·8?", "<unk>"]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<think>", "</think>"])
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split(":", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {"chat_template": TEMPLATE, "eos_token": {"content": "<|im_end|>"}, "bos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return tmp_path


def test_the_checkpoints_own_tokenizer_and_template(folder):
    tokenizer = models.load_tokenizer(folder)
    assert tokenizer.vocab_size == 9
    expected = [5, 0, 2, 3, 6, 5, 1, 2]
    assert tokenizer.chat(CHAT) == expected
    assert tokenizer.chat(CHAT, thinking=False) == [*expected, 7, 8]
    assert "<|im_end|>" not in tokenizer.decode(expected, skip_special=True)
    assert "<|im_end|>" in tokenizer.decode(expected)


def test_where_templates_are_looked_for(folder):
    (folder / "chat_template.jinja").write_text("{{ eos_token }}:{{ messages[0].role }}")
    assert models.load_tokenizer(folder).chat(CHAT) == [6, 2, 0]
    (folder / "chat_template.jinja").unlink()
    named = [{"name": "tool", "template": "x"}, {"name": "default", "template": "user"}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert models.load_tokenizer(folder).chat(CHAT) == [0]
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(models.CheckpointError, match="no chat template"):
        models.load_tokenizer(folder).chat(CHAT)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{% for x in 5 %}{% endfor %}",
        "{{ raise_exception('roles must alternate') }}", "{{ 1 / 0 }}", "{{ missing.field }}",
        "{{ range(10**9) }}", "{{ raise_exception.__globals__['json'] }}",
    ],
)  # fmt: skip
def test_a_template_is_not_trusted(source):
    with pytest.raises(ChatTemplateError, match="chat template"):
        ChatTemplate(source).render(CHAT)


def test_templates_may_use_what_transformers_gives_them():
    source = "{{ {'a': 'é<'} | tojson }}{{ strftime_now('%Y') | length }}{% break %}"
    source = "{% for m in messages %}" + source + "{% endfor %}"
    assert ChatTemplate(source).render(CHAT * 2) == '{"a": "é<"}4'


def test_the_template_of_transformers_renders_alike(folder):
    pytest.importorskip("torch", reason="the oracle is transformers")
    transformers = pytest.importorskip("transformers", reason="the oracle is transformers")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    theirs.chat_template = TEMPLATE
    for thinking in (True, False):
        expected = theirs.apply_chat_template(
            CHAT * 2, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
        )
        assert ChatTemplate(TEMPLATE).render(CHAT * 2, thinking=thinking) == expected


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": "9"}'])
def test_bad_tokenizer_files(tmp_path, text):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(models.CheckpointError, match=r"tokenizer\.json"):
        models.load_tokenizer(tmp_path)


def test_bad_templates_and_messages():
    with pytest.raises(ChatTemplateError):
        ChatTemplate("{% if %}")
    with pytest.raises(ChatTemplateError, match="role"):
        ChatTemplate("x").render([{"content": "?"}])


@pytest.mark.parametrize(
    ("stands", "problem"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:c0\nsize 7031645\n", "Git LFS pointer"),
        (b"<html><body>404</body></html>", "is a web page"),
        (b"", "is empty"),
        (b"{}", "not a readable tokenizer"),
    ],
)  # fmt: skip
def test_what_stands_in_place_of_the_tokenizer_is_named(stands, problem, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(stands)
    with pytest.raises(models.CheckpointError, match=rf"tokenizer\.json: .*{problem}"):
        models.load_tokenizer(tmp_path)
