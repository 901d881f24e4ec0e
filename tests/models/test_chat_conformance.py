"""Prompts as transformers makes them: text and ids of every template with every kind of tokenizer.

Transformers is the oracle; where it refuses a conversation, so must we, and with the template's own words.
"""

import itertools
import json
import pathlib
import re

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, normalizers, pre_tokenizers, processors

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.models.tokenizers.chat_template import ChatTemplate, ChatTemplateError

pytest.importorskip("torch", reason="the oracle is transformers")
transformers = pytest.importorskip("transformers", reason="the oracle is transformers")

HERE = pathlib.Path(__file__).parent / "chat_templates"
TEMPLATES = {file.stem: file.read_text("utf-8") for file in sorted(HERE.glob("*.jinja"))}
"""In the manner of those that people load, written for this test: each uses what its kind is known for."""


def _turn(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = [
    [_turn("user", "What is 7·8?")],
    [
        _turn("system", " Be brief.\n"),
        _turn("user", "  How’s it?\r\n\tTwo  spaces, é and e\u0301, 日本語, 😀 "),
    ],
    [
        _turn("user", "Add 2 and 3", name=None),
        _turn("assistant", "<think>\n2+3\n</think>\n\n5", tool_calls=None),
        _turn("user", "And <|im_end|> then? \\frac{1}{2}"),
    ],
    [
        _turn("system", ""),
        _turn("user", "a"),
        _turn("assistant", "b", thinking="why b"),
        _turn("user", [{"type": "text", "text": "c"}, {"type": "image"}]),
    ],
]

TEXT = " ".join(str(m["content"]) for c in CONVERSATIONS for m in c) + " the user said that and then"
MARKS = [
    "<|begin|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|pad|>",
    "<｜User｜>",
    "<｜end▁of▁sentence｜>",
]
NAMES = {"bos_token": "<|begin|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}


def _byte_level(*, prefix=False, nfc=False, template=False):
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.decoder = decoders.ByteLevel()
    if nfc:
        made.normalizer = normalizers.NFC()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([TEXT], trainer)
    made.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in MARKS])
    made.add_tokens([AddedToken(mark, normalized=False) for mark in ("<think>", "</think>")])
    if template:
        bos = ("<|begin|>", made.token_to_id("<|begin|>"))
        made.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[bos]
        )
    return made


QWEN2_RULE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_RULE = QWEN2_RULE.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def _split(rule, **options):
    """A byte-level tokenizer that splits by a rule, as those of Qwen and Llama 3 do."""
    made = _byte_level(**options)
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(rule), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return made


def _digits_apart():
    made = _byte_level()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return made


def _odd_added_tokens():
    made = _byte_level()
    made.add_tokens(
        [
            AddedToken("<left>", lstrip=True),
            AddedToken("[INST]", rstrip=True, normalized=False),
            AddedToken("and", single_word=True),
            AddedToken("Add", normalized=True),
        ]
    )
    return made


def _cut_and_padded():
    made = _byte_level()
    made.enable_truncation(max_length=6, stride=2)
    made.enable_padding(length=64, pad_token="<|pad|>", pad_id=made.token_to_id("<|pad|>"))
    return made


def _sentencepiece_like(kind):
    """As Llama 2 has it: spaces are ▁, what is unknown falls back to bytes."""
    bytes_ = [f"<0x{n:02X}>" for n in range(256)]
    letters = sorted(set("▁" + TEXT.replace(" ", "▁")) - set("😀日"))
    pieces = ["<unk>", "<s>", "</s>", *bytes_, *letters, "▁a", "▁t", "er", "▁u"]
    if kind == "unigram":
        scored = [(piece, 0.0 if n < 259 else -1.0 - n / 100) for n, piece in enumerate(pieces)]
        model = tokenizers.models.Unigram(scored, unk_id=0, byte_fallback=True)
    else:
        merges = [("▁", "a"), ("▁", "t"), ("e", "r"), ("▁", "u")]
        model = tokenizers.models.BPE(
            {piece: n for n, piece in enumerate(pieces)},
            merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    made = tokenizers.Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    return made


def _word_piece():
    words = [
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "add",
        "and",
        "##d",
        "what",
        "is",
        "2",
        "3",
        "user",
        *"abcdefghijklmnopqrstuvwxyz?<>|_",
    ]
    made = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({w: n for n, w in enumerate(words)}, unk_token="[UNK]")
    )
    made.normalizer, made.pre_tokenizer = (normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    return made


def _file(made, config, **more):
    """A folder's files: tokenizer.json, its config, and what else is given by name."""
    return {"tokenizer.json": made.to_str(), "tokenizer_config.json": config, **more}


def _parts(made, config, **more):
    """As ``_file`` with vocab.json and merges.txt in place of tokenizer.json."""
    model = json.loads(made.to_str())["model"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return {
        "vocab.json": model["vocab"],
        "merges.txt": "\n".join(["#version: 0.2", *pairs, ""]),
        "tokenizer_config.json": config,
        **more,
    }


def _token(text, **flags):
    return {
        "content": text,
        "lstrip": False,
        "rstrip": False,
        "single_word": False,
        "normalized": False,
        **flags,
    }


FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
_LISTED = {
    "added_tokens_decoder": {
        "327": _token("<|im_start|>", special=True),
        "329": _token("<|new|>", special=True),
        "330": _token("<plain>", special=False, normalized=True),
        "331": _token("<l>", special=False, lstrip=True),
    },
    "bos_token": {"__type": "AddedToken", **_token("<|begin|>", special=True)},
    "eos_token": "<|im_end|>",
    "pad_token": None,
    "cls_token": "<|fresh|>",
    "image_token": "<|image|>",
    "additional_special_tokens": ["<|more|>", "<|im_start|>"],
}
_R1 = {
    "bos_token": "<|begin|>",
    "eos_token": "<｜end▁of▁sentence｜>",
    "pad_token": "<｜end▁of▁sentence｜>",
    "unk_token": None,
    "add_bos_token": True,
    "tokenizer_class": "LlamaTokenizerFast",
}
_QWEN = {
    "bos_token": None,
    "unk_token": None,
    "eos_token": "<|im_end|>",
    "pad_token": "<|pad|>",
    "tokenizer_class": "Qwen2Tokenizer",
    "add_bos_token": False,
}


def _model(kind):
    return {"config.json": {"model_type": kind}}


FOLDERS = {
    "r1_distill_qwen": lambda: _file(_split(QWEN2_RULE, nfc=True, template=True), _R1, **_model("qwen2")),
    "r1_distill_llama": lambda: _file(_split(LLAMA3_RULE, template=True), _R1, **_model("llama")),
    "qwen2.5": lambda: _file(_split(QWEN2_RULE, nfc=True), _QWEN, **_model("qwen2")),
    "qwen3": lambda: _file(_split(QWEN2_RULE, nfc=True), _QWEN, **_model("qwen3")),
    "qwen3_moe_resaved": lambda: _file(
        _split(QWEN2_RULE, nfc=True),
        FAST | {"eos_token": "<|im_end|>", "padding_side": "left"},
        **_model("qwen3_moe"),
    ),
    "llama3": lambda: _file(_split(LLAMA3_RULE, template=True), FAST | NAMES, **_model("llama")),
    "smollm2": lambda: _file(
        _digits_apart(),
        NAMES | {"tokenizer_class": "GPT2Tokenizer", "unk_token": "<|pad|>"},
        **_model("llama"),
    ),
    "smollm3": lambda: _file(_split(LLAMA3_RULE), FAST | NAMES, **_model("smollm3")),
    "byte_level": lambda: _file(_byte_level(), FAST | NAMES),
    "prefix_space": lambda: _file(_byte_level(prefix=True), FAST | NAMES),
    "nfc_and_bos_by_post_processor": lambda: _file(
        _byte_level(nfc=True, template=True), FAST | NAMES | {"add_bos_token": True}
    ),
    "odd_added_tokens": lambda: _file(_odd_added_tokens(), FAST | NAMES),
    "truncation_and_padding": lambda: _file(_cut_and_padded(), FAST | NAMES),
    "added_tokens_decoder": lambda: _file(_byte_level(), FAST | _LISTED),
    "special_tokens_map": lambda: _file(
        _byte_level(),
        FAST | {"eos_token": "<|eot_id|>", "sep_token": "<sep>"},
        **{
            "special_tokens_map.json": {
                "eos_token": _token("<|im_end|>"),
                "bos_token": "<|begin|>",
                "mask_token": "<|m|>",
                "additional_special_tokens": ["<|im_start|>", "<|later|>"],
            }
        },
    ),
    "special_tokens_map_that_does_not_count": lambda: _file(
        _byte_level(),
        FAST | _LISTED,
        **{"special_tokens_map.json": {"eos_token": "<|eot_id|>", "mask_token": "<|m|>"}},
    ),
    "added_tokens_json": lambda: _file(
        _byte_level(),
        FAST | NAMES | {"unk_token": "<|u|>"},
        **{"added_tokens.json": {"<plain>": 329, "<|u|>": 330}},
    ),
    "named_extra_tokens": lambda: _file(
        _byte_level(),
        FAST | NAMES | {"extra_special_tokens": {"image_token": "<|image|>", "mask_token": "<|m|>"}},
    ),
    "split_special_tokens": lambda: _file(_byte_level(), FAST | NAMES | {"split_special_tokens": True}),
    "no_config_fields": lambda: _file(_byte_level(), FAST),
    "sentencepiece_like": lambda: _file(
        _sentencepiece_like("bpe"), FAST | {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    ),
    "unigram": lambda: _file(
        _sentencepiece_like("unigram"), FAST | {"bos_token": "<s>", "eos_token": "</s>"}
    ),
    "word_piece": lambda: _file(
        _word_piece(), FAST | {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    ),
    "qwen2_parts": lambda: _parts(
        _byte_level(),
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "bos_token": None,
            "unk_token": None,
            "pad_token": "<|pad|>",
            "eos_token": "<|im_end|>",
            "added_tokens_decoder": {
                "320": _token("<|pad|>", special=True),
                "321": _token("<|im_start|>", special=True),
                "322": _token("<|im_end|>", special=True),
            },
            "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        },
    ),
    "qwen2_parts_with_defaults": lambda: _parts(_byte_level(), {"tokenizer_class": "Qwen2TokenizerFast"}),
    "gpt2_parts": lambda: _parts(
        _byte_level(), {"tokenizer_class": "GPT2Tokenizer", "pad_token": "<|pad|>", "add_prefix_space": True}
    ),
    "gpt2_parts_with_added": lambda: _parts(
        _byte_level(),
        {"tokenizer_class": "GPT2Tokenizer"} | NAMES,
        **{"added_tokens.json": {"<|im_start|>": 320, "<think>": 321}},
    ),
}


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request, tmp_path_factory):
    made = tmp_path_factory.mktemp(re.sub(r"\W", "_", request.param))
    for name, content in FOLDERS[request.param]().items():
        (made / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return made


@pytest.fixture(scope="module")
def pair(folder):
    """Our tokenizer and theirs, of one folder, both by its ``tokenizer.json`` where it has one.

    For ``GPT2Tokenizer`` transformers 5 keeps the file's pieces and puts the class's rule for splitting
    text in place of the file's, which SmolLM2 was trained with: there a class that reads the file is asked.
    """
    kind = transformers.AutoTokenizer
    if folder.name.startswith("smollm2"):
        kind = transformers.PreTrainedTokenizerFast
    return models.load_tokenizer(folder), kind.from_pretrained(folder)


def _ours(tokenizer, name, messages, **thinking):
    """The prompt of a template that is not the tokenizer's own."""
    template = ChatTemplate(TEMPLATES[name], process=tokenizer._process)
    return template.render(messages, variables=tokenizer._special, **thinking)


def _theirs(tokenizer, name, messages, **switch):
    """(text, None), or (None, why it is refused)."""
    try:
        return tokenizer.apply_chat_template(
            messages, chat_template=TEMPLATES[name], add_generation_prompt=True, tokenize=False, **switch
        ), None
    except Exception as error:  # noqa: BLE001 - whatever a template can run into
        return None, " ".join(str(error).split())


@pytest.mark.parametrize("name", TEMPLATES)
def test_text_and_ids_are_theirs(pair, name):
    ours, theirs = pair
    switch = "thinking" if name == "deepseek_v3.1" else "enable_thinking"
    values = (None, True, False) if switch in TEMPLATES[name] else (None,)
    compared = 0
    for messages, thinking in itertools.product(CONVERSATIONS, values):
        asked = {} if thinking is None else {switch: thinking}
        expected, refusal = _theirs(theirs, name, messages, **asked)
        if refusal is not None:
            with pytest.raises(ChatTemplateError) as caught:
                _ours(ours, name, messages, thinking=thinking)
            assert refusal in str(caught.value)
            continue
        assert _ours(ours, name, messages, thinking=thinking) == expected
        ids = theirs(expected, add_special_tokens=False)["input_ids"]
        assert ours.encode(expected) == ids
        assert ours.decode(ids) == theirs.decode(ids)
        assert ours.decode(ids, skip_special=True) == theirs.decode(ids, skip_special_tokens=True)
        compared += 1
    assert compared or not {"bos_token", "eos_token"} <= set(ours._special)  # both are added to texts


def test_special_tokens_and_vocabulary_are_theirs(pair):
    ours, theirs = pair
    assert ours._special == theirs.special_tokens_map
    assert ours.vocab_size == len(theirs)
    assert ours.eos_token_ids == (() if theirs.eos_token is None else (theirs.eos_token_id,))


def _write(folder, **files):
    for name, content in _file(_byte_level(), FAST | NAMES).items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    config = FAST | NAMES | files.pop("config", {})
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for name, content in files.items():
        file = folder / name.replace("__", "/").replace("_jinja", ".jinja")
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)


@pytest.mark.parametrize(
    "files",
    [
        {"config": {"chat_template": "config"}},
        {
            "config": {
                "chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
            }
        },
        {"config": {"chat_template": "config"}, "chat_template_jinja": "file{{ '\\n' }}\n"},
        {"chat_template_jinja": "file", "additional_chat_templates__rag_jinja": "rag"},
        {"chat_template_jinja": "file", "additional_chat_templates__default_jinja": "other"},
        {"chat_template_jinja": "one\r\n{% if true %}\r\ntwo\r\n{% endif %}\rthree"},
    ],
    ids=lambda files: "+".join(files),
)
def test_the_same_template_is_found(tmp_path, files):
    _write(tmp_path, **files)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(CONVERSATIONS[0], add_generation_prompt=True)["input_ids"]
    assert models.load_tokenizer(tmp_path).chat(CONVERSATIONS[0]) == expected


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"config": {"chat_template": [{"name": "tool_use", "template": "b"}]}},
        {"additional_chat_templates__rag_jinja": "rag"},
    ],
    ids=["none", "list_without_default", "folder_without_default"],
)
def test_where_they_find_no_template_neither_do_we(tmp_path, files):
    _write(tmp_path, **files)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="template"):
        theirs.apply_chat_template(CONVERSATIONS[0])
    with pytest.raises(InputError, match="template"):
        models.load_tokenizer(tmp_path).chat(CONVERSATIONS[0])


@pytest.mark.parametrize("messages", [[], ["text"], [{"content": "nobody's"}]])
def test_conversations_that_are_none(tmp_path, messages):
    _write(tmp_path, config={"chat_template": TEMPLATES["chatml"]})
    theirs, ours = (transformers.AutoTokenizer.from_pretrained(tmp_path), models.load_tokenizer(tmp_path))
    assert _theirs(theirs, "chatml", messages)[1]
    with pytest.raises(ChatTemplateError):
        ours.chat(messages)
