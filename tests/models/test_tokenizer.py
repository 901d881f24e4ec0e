"""Text ↔ ids and chat templates, on tokenizers small enough to build here."""

import base64
import datetime
import itertools
import json
import re

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.models.tokenizers.chat_template import ChatTemplate, ChatTemplateError
from kinetics_jax.models.tokenizers.tokenizer import ByteTokenizer
from kinetics_jax.shapes import presets

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
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% for x in 5 %}{% endfor %}",
        "{{ raise_exception('roles must alternate') }}",
        "{{ 1 / 0 }}",
        "{{ missing.field }}",
        "{{ range(10**9) }}",
        "{{ raise_exception.__globals__['json'] }}",
    ],
)
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


def _byte_level() -> tokenizers.Tokenizer:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(tokenizers.models.BPE({c: n for n, c in enumerate(alphabet)}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    return made


def _folder(path, config=None, **files):
    """A byte-level tokenizer's folder; names of files have ``__`` for the dot."""
    _byte_level().save(str(path / "tokenizer.json"))
    if config is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (path / name.replace("__", ".")).write_bytes(content)
    return path


def test_what_a_training_script_left_in_the_file_does_not_touch_prompts(tmp_path):
    made = _byte_level()
    whole = made.encode("a long prompt " * 20, add_special_tokens=False).ids
    made.enable_truncation(max_length=8)
    made.enable_padding(length=512)
    made.save(str(tmp_path / "tokenizer.json"))
    assert models.load_tokenizer(tmp_path).encode("a long prompt " * 20) == whole


SWITCHES = {
    "enable_thinking": "{{ 'off' if enable_thinking is defined and not enable_thinking else 'on' }}",
    "default off": "{% if enable_thinking is defined and enable_thinking %}on{% else %}off{% endif %}",
    "thinking": "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
    "{{ 'on' if thinking else 'off' }}",
    "macro": "{% macro m() %}{{ 'on' if enable_thinking | default(true) else 'off' }}{% endmacro %}{{ m() }}",
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("enable_thinking", "on on off"),
        ("default off", "off on off"),
        ("thinking", "off on off"),
        ("macro", "on on off"),
    ],
)
def test_the_switch_is_touched_only_where_asked(name, expected):
    template = ChatTemplate(SWITCHES[name])
    got = [template.render(CHAT, thinking=thinking) for thinking in (None, True, False)]
    assert got == expected.split()


@pytest.mark.parametrize(
    "source",
    [
        "<think>",
        "{% set thinking = 1 %}{{ thinking }}",
        "{# enable_thinking #}{{ 'enable_thinking' }}",
        "{{ messages[0].thinking }}",
    ],
)
def test_a_switch_that_no_template_reads_is_refused(tmp_path, source):
    folder = _folder(tmp_path, chat_template__jinja=source.encode())
    tokenizer = models.load_tokenizer(folder)
    assert tokenizer.chat(CHAT) == tokenizer.chat(CHAT, thinking=True)
    with pytest.raises(ChatTemplateError, match=r"chat_template\.jinja: .*thinking=False") as caught:
        tokenizer.chat(CHAT, thinking=False)
    assert "\n" not in str(caught.value)


def test_the_date_is_the_days_or_the_callers(tmp_path):
    folder = _folder(tmp_path, chat_template__jinja=b"{{ strftime_now('%d %b %Y') }}")
    before = datetime.date.today()
    got = models.load_tokenizer(folder)
    assert got.decode(got.chat(CHAT)) in {day.strftime("%d %b %Y") for day in (before, datetime.date.today())}
    fixed = models.load_tokenizer(folder, today=datetime.date(2024, 7, 26))
    assert fixed.decode(fixed.chat(CHAT)) == "26 Jul 2024"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template__jinja", b"\xef\xbb\xbfone\r\n{% if true %}\r\ntwo{% endif %}\r\n"),
        ("chat_template__jinja", b"one\r{% if true %}\rtwo{% endif %}"),
        (
            "tokenizer_config__json",
            b'\xef\xbb\xbf{"chat_template":\r\n "one\\r\\n{% if true %}\\ntwo{% endif %}"}',
        ),
        ("chat_template__json", b'{"chat_template": "one\\n{% if true %}\\ntwo{% endif %}"}'),
        ("chat_template__json", b'\xef\xbb\xbf{"chat_template": {"default": "one\\ntwo", "rag": "x"}}'),
    ],
)
def test_marks_and_line_ends_of_editors_are_no_part_of_a_template(tmp_path, name, content):
    got = models.load_tokenizer(_folder(tmp_path, **{name: content}))
    assert got.decode(got.chat(CHAT)) == "one\ntwo"


def test_marks_and_line_ends_in_tokenizer_files(tmp_path):
    text = (_folder(tmp_path) / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    expected = models.load_tokenizer(tmp_path).encode("an apple")
    (tmp_path / "tokenizer.json").unlink()
    vocab = json.dumps(json.loads(text)["model"]["vocab"], indent=1).replace("\n", "\r\n")
    (tmp_path / "vocab.json").write_bytes(b"\xef\xbb\xbf" + vocab.encode())
    (tmp_path / "merges.txt").write_bytes(b"\xef\xbb\xbf#version: 0.2\r\n\r\n")
    (tmp_path / "config.json").write_text('{"model_type": "qwen3_moe"}')
    assert models.load_tokenizer(tmp_path).encode("an apple") == expected


def _token(content, **flags):
    plain = dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized"), False)
    return {"content": content, **plain, **flags}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"added_tokens_decoder": {"300": _token("<|far|>")}}, "<|far|>.* id 300, .* gets 256"),
        ({"added_tokens_decoder": {"257": _token("b"), "256": _token("a")}}, None),  # there already
        ({"added_tokens_decoder": {"258": _token("<b>"), "257": _token("<a>")}}, "gets 256"),
        ({"added_tokens_decoder": [1]}, "added_tokens_decoder must be an object"),
        ({"added_tokens_decoder": {"x": _token("<a>")}}, "added_tokens_decoder must be an object"),
        ({"added_tokens_decoder": {"256": "<a>"}}, None),
        ({"added_tokens_decoder": {"256": {"content": 3}}}, "must be a text, or an object"),
        ({"added_tokens_decoder": {"256": _token("<a>", lstrip="yes")}}, "flags"),
        ({"eos_token": 3}, "eos_token must be a text"),
        ({"eos_token": {"text": "<a>"}}, "eos_token must be a text"),
        ({"extra_special_tokens": "<a>"}, "extra_special_tokens must be a list"),
        ({"additional_special_tokens": [None]}, "must be a text"),
        ({"chat_template": 3}, "chat_template is not text"),
        ({"chat_template": [{"name": "default"}]}, "chat_template is not text"),
    ],
)
def test_what_the_files_beside_a_tokenizer_may_say(tmp_path, config, words):
    folder = _folder(tmp_path, config)
    if words is None:
        assert models.load_tokenizer(folder).vocab_size >= 256
        return
    with pytest.raises(InputError, match=words) as caught:
        models.load_tokenizer(folder)
    assert re.search(r"tokenizer\w*\.json", str(caught.value))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), r"tokenizer\.json: no such file, nor vocab\.json"),
        (("vocab.json",), "nor vocab.json with merges.txt"),
        (("tokenizer.model",), r"tokenizer\.model is not read"),
        (("vocab.json", "merges.txt"), "tokenizer_class='LlamaTokenizer' does not say"),
    ],
)
def test_folders_without_a_tokenizer_that_can_be_read(tmp_path, files, words):
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(models.CheckpointError, match=words):
        models.load_tokenizer(tmp_path)


def test_what_stands_in_a_files_place_and_is_none(tmp_path):
    for name in ("tokenizer.json", "chat_template.jinja", "special_tokens_map.json"):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        _folder(folder)
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()
        with pytest.raises(InputError, match="plain file"):
            models.load_tokenizer(folder)


@pytest.fixture(scope="module")
def qwen(shared, tmp_path_factory):
    """Qwen3's own vocabulary as ``vocab.json`` and ``merges.txt``, its added tokens in the config."""
    facts = json.loads((shared / "data" / "tokenizer" / "qwen3_special_tokens.json").read_text())
    ranks = {}
    for line in (shared / "data" / "tokenizer" / "qwen.tiktoken").read_bytes().splitlines():
        piece, rank = line.split()
        ranks[base64.b64decode(piece)] = int(rank)
    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in letters]
    names = {b: chr(b) for b in letters} | {b: chr(256 + n) for n, b in enumerate(rest)}

    def spell(piece: bytes) -> str:
        return "".join(names[byte] for byte in piece)

    folder = tmp_path_factory.mktemp("qwen")
    (folder / "vocab.json").write_text(json.dumps({spell(p): rank for p, rank in ranks.items()}))
    merges = (_last_merge(piece, ranks) for piece in ranks if len(piece) > 1)
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{spell(a)} {spell(b)}\n" for a, b in merges)
    )
    listed = {str(t["id"]): _token(t["content"], special=t["special"]) for t in facts["added_tokens"]}
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "bos_token": None,
        "unk_token": None,
        "added_tokens_decoder": listed,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}"
        "{% endfor %}{{ '<|im_start|>assistant\n' }}"
        "{% if enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    )
    return folder


def _last_merge(piece: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts that byte-pair merges of lower rank than the piece's own make of it."""
    parts = [piece[n : n + 1] for n in range(len(piece))]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, ranks[piece]) for a, b in itertools.pairwise(parts)]
        at = min(range(len(pairs)), key=pairs.__getitem__)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def test_qwen3_ids(qwen):
    tokenizer = models.load_tokenizer(qwen)
    assert (tokenizer.vocab_size, tokenizer.eos_token_ids) == (151_669, (151_645,))
    chat = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Hello"},
    ]
    assert tokenizer.chat(chat, thinking=False) == [
        151644,
        8948,
        198,
        2610,
        525,
        264,
        10950,
        17847,
        13,
        151645,
        198,
        151644,
        872,
        198,
        9707,
        151645,
        198,
        151644,
        77091,
        198,
        151667,
        271,
        151668,
        271,
    ]
    text = "\\boxed{\\frac{1}{2}} = 12345, é e\u0301 日本語 😀\n\n  x"
    composed = text.replace("e\u0301", "é")
    assert tokenizer.decode(tokenizer.encode(text)) == composed


@pytest.mark.parametrize(
    ("stands", "problem"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:c0\nsize 7031645\n", "Git LFS pointer"),
        (b"<html><body>404</body></html>", "is a web page"),
        (b"", "is empty"),
        (b"{}", "refuses"),
    ],
)
def test_what_stands_in_place_of_the_tokenizer_is_named(stands, problem, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(stands)
    with pytest.raises(models.CheckpointError, match=rf"tokenizer\.json: .*{problem}"):
        models.load_tokenizer(tmp_path)


def test_many_lists_of_ids_decode_in_one_go(tmp_path):
    tokenizer = models.load_tokenizer(_folder(tmp_path))
    lists = [[72, 73], [], [200], list("naïve".encode())]
    expected = [tokenizer.decode(ids) for ids in lists]
    assert models.decode_all(tokenizer, lists) == expected
    local = models.load_tokenizer("bytes")
    assert models.decode_all(local, lists) == [local.decode(ids) for ids in lists]
