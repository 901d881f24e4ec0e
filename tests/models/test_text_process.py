"""What hostile templates and tokenizers may cost: a typed line and some seconds, never the process."""

import copy
import gc
import json
import os
import signal
import sys
import threading

import pytest
import tokenizers

from kinetics_jax import models
from kinetics_jax.errors import InputError
from kinetics_jax.models.tokenizers import process as text_process
from kinetics_jax.models.tokenizers.chat_template import ChatTemplate, ChatTemplateError
from kinetics_jax.models.tokenizers.process import TextProcess, TextProcessError

CHAT = [{"role": "user", "content": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A second of CPU time, so that tests of loops are over soon."""
    monkeypatch.setattr(text_process, "SECONDS", 1.0)
    monkeypatch.setattr(text_process, "MEMORY_BYTES", 1 << 30)


HOSTILE_TEMPLATES = {
    "loops without printing": (
        "{% set r = range(90000) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
        "CPU time",
    ),
    "a range beyond the sandbox": ("{% for i in range(10 ** 9) %}{% endfor %}", "Range too big"),
    "a huge text": ("{{ 'ab' * 10 ** 10 }}", "memory"),
    "a text that doubles": (
        "{% set n = namespace(t='ab') %}{% for i in range(64) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
        "memory|CPU time",
    ),
    "a list that doubles": (
        "{% set n = namespace(t=[1]) %}{% for i in range(64) %}{% set n.t = n.t + n.t %}{% endfor %}",
        "memory|CPU time",
    ),
    "padding by a format": ("{{ '%9999999999d' % 1 }}", "memory"),
    "padding by a filter": ("{{ 'a' | center(10 ** 10) }}", "memory"),
    "a long print": ("{% for i in range(90000) %}{{ '%999d' % 1 }}{% endfor %}", "prints more than"),
    "a number with a billion digits": ("{{ (7 ** (10 ** 9)) % 3 }}", "CPU time|memory"),
    "a macro without end": ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", "nested too deeply"),
    "brackets": ("{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}", "nested too deeply"),
    "blocks": ("{% if 1 %}" * 400 + "{% endif %}" * 400, "nested|SyntaxError|blocks"),
    "a class": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "globals of a function": ("{{ cycler.__init__.__globals__ }}", "unsafe"),
    "globals of our own": ("{{ raise_exception.__globals__['json'] }}", "unsafe"),
    "a namespace with a class": ("{% set n = namespace(__class__=1) %}", "underscore"),
    "another file": ("{% include '/etc/passwd' %}", "no loader"),
}


@pytest.mark.parametrize(("source", "words"), HOSTILE_TEMPLATES.values(), ids=HOSTILE_TEMPLATES)
def test_hostile_templates(source, words):
    process = TextProcess()
    with pytest.raises(ChatTemplateError, match=words) as caught:
        ChatTemplate(source, process=process).render(CHAT)
    assert "\n" not in str(caught.value)
    assert ChatTemplate("ok", process=process).render(CHAT) == "ok"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The fields of a byte-level tokenizer that is right."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(tokenizers.models.BPE({c: n for n, c in enumerate(alphabet)}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    return json.loads(made.to_str())


def _replace(old, new, times):
    return [{"type": "Replace", "pattern": {"String": old}, "content": new}] * times


def _split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _table(encoded):
    return {"normalizer": {"type": "Precompiled", "precompiled_charsmap": encoded}}


HOSTILE_TOKENIZERS = {
    "a letter becomes a terabyte": (
        {"normalizer": {"type": "Sequence", "normalizers": _replace("a", "aa", 40)}},
        "CPU time|memory",
    ),
    "an id becomes a terabyte": (
        {"decoder": {"type": "Sequence", "decoders": _replace("a", "aa", 40)}},
        "CPU time|memory",
    ),
    "thousands of ids a letter": (
        {"normalizer": {"type": "Sequence", "normalizers": _replace("a", "b" * 3000, 1)}},
        "ids of a text",
    ),
    "backtracking": ({"pre_tokenizer": _split(r"(a+)+$")}, "retry-limit|CPU time"),
    "backtracking over alternatives": ({"pre_tokenizer": _split(r"(a|aa)+$")}, "retry-limit|CPU time"),
    "no regex": ({"pre_tokenizer": _split("((((")}, "Oniguruma"),
    "a table of characters that is cut": (_table("AAAAAAA="), "index out of bounds"),
    "a table of nothing": (_table(""), "Precompiled"),
    "no unknown piece": ({"model": {"type": "Unigram", "unk_id": None, "vocab": [["b", -1.0]]}}, "unk_id"),
    "no pieces": ({"model": {"type": "Unigram", "unk_id": 5, "vocab": []}}, "EmptyVocabulary"),
    "words without an unknown": (
        {"model": {"type": "WordLevel", "vocab": {"x": 0}, "unk_token": "?"}},
        "UNK",
    ),
}


@pytest.mark.parametrize(("change", "words"), HOSTILE_TOKENIZERS.values(), ids=HOSTILE_TOKENIZERS)
def test_hostile_tokenizers(tmp_path, plain, change, words):
    (tmp_path / "tokenizer.json").write_text(json.dumps(copy.deepcopy(plain) | change))

    def use():
        tokenizer = models.load_tokenizer(tmp_path)
        tokenizer.decode(tokenizer.encode("a" * 37 + "b"))

    with pytest.raises(models.CheckpointError, match=words) as caught:
        use()
    assert "\n" not in str(caught.value)
    assert "tokenizer.json" in str(caught.value)


def test_a_lost_process_is_started_again(tmp_path, plain):
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    tokenizer = models.load_tokenizer(tmp_path)
    ids = tokenizer.encode("é")
    (process,) = tokenizer._process._running
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert tokenizer.encode("é") == ids
    assert tokenizer._process._running[0].pid != process.pid


def test_a_question_that_was_interrupted_leaves_no_answer_behind():
    process = TextProcess()
    assert process.ask("render", source="one", variables={}, today=None) == "one"

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    slow = "{% set r = range(90000) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}two"
    try:
        with pytest.raises(KeyboardInterrupt):
            process.ask("render", seconds=60.0, source=slow, variables={}, today=None)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert process.ask("render", source="three", variables={}, today=None) == "three"


def test_threads_get_their_own_answers():
    template = ChatTemplate("{{ messages[0].content }}", process=TextProcess())
    wrong: list[str] = []

    def ask(name: str) -> None:
        for _ in range(50):
            got = template.render([{"role": "user", "content": name}])
            wrong.extend([got] if got != name else [])

    threads = [threading.Thread(target=ask, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_process_outlives_its_tokenizer(tmp_path, plain):
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    tokenizer = models.load_tokenizer(tmp_path)
    (process,) = tokenizer._process._running
    del tokenizer
    gc.collect()
    assert process.poll() is not None


def test_where_no_process_can_be_started(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(TextProcessError, match="no process could be started"):
        TextProcess().ask("compile", source="x")


def test_a_prompt_that_is_no_text(tmp_path, plain):
    (tmp_path / "tokenizer.json").write_text(json.dumps(plain))
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    tokenizer = models.load_tokenizer(tmp_path)
    for broken in ("half \ud83d of it", "\udc00", "ends in \ud800"):
        with pytest.raises(InputError, match="half of a surrogate pair") as caught:
            tokenizer.chat([{"role": "user", "content": broken}])
        str(caught.value).encode()
    with pytest.raises(ChatTemplateError, match="plain data"):
        tokenizer.chat([{"role": "user", "content": object()}])
