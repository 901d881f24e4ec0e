"""All three formats, and everything that can be wrong with them."""

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import math

import numpy as np
import pytest

from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, TopK
from kinetics_jax.records import SampleRecord
from kinetics_jax.scaling import group_cells, read_trials, write_csv
from kinetics_jax.scaling.traces import comparable_families
from kinetics_jax.scaling.traces.text_lines import FIRST_LINE_BYTES
from kinetics_jax.shapes import presets

HEADER = "source,model,dataset,problem_id,trial,gen_tokens,correct,max_tokens,temperature,prompt_tokens"
ROW = "here,qwen3-8b,aime24,p1,0,1500,1,2048,0.6,120"


class Words:
    """A tokenizer of words."""

    def encode(self, text):
        return text.split()


@pytest.fixture
def write(tmp_path):
    def write(*lines, name="trials.csv", end="\n"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + end, encoding="utf-8")
        return path

    return write


def record(**fields):
    values = {
        "run": "r",
        "model": "qwen3-8b",
        "policy": TopK(512),
        "task": "aime24",
        "problem_id": "p1",
        "trial": 0,
        "prompt_tokens": 10,
        "generated_tokens": 20,
        "correct": True,
    }
    return SampleRecord(**{**values, **fields}).to_json()


def test_csv_columns_become_arrays(write):
    trials = read_trials(write(HEADER, ROW, "here,qwen3-8b,aime24,p1,s1_cap4096,7,0,,,"))
    assert len(trials) == 2
    assert trials.generated_tokens.tolist() == [1500, 7]
    assert trials.correct.tolist() == [True, False]
    assert trials.max_tokens.tolist() == [2048, -1]
    assert trials.variant.tolist() == ["", "s_cap"]
    assert trials.prompt_tokens[0] == 120
    assert math.isnan(trials.prompt_tokens[1])
    assert math.isnan(trials.temperature[1])
    assert trials.policies == (Dense(),)


def test_csv_may_leave_out_what_is_optional_and_name_policies(write):
    header = "trial,correct,gen_tokens,problem_id,dataset,model,policy"
    rows = ['0,true,5,p,d,m,"topk(k=512,local=32)"', "1,false,6,p,d,m,"]
    trials = read_trials(write(header, *rows, name="sweep.v2.csv"))
    assert trials.source.tolist() == ["sweep", "sweep"]
    assert [trials.policies[i] for i in trials.policy] == [TopK(512, local=32), Dense()]


def test_records_are_read_with_their_policies(write):
    lines = [record(), record(trial=1, policy=BlockTopK(16, 64), max_tokens=99, temperature=0.0)]
    trials = read_trials(write(*lines))
    assert [trials.policies[i] for i in trials.policy] == [TopK(512), BlockTopK(16, 64)]
    assert trials.max_tokens.tolist() == [-1, 99]
    assert trials.dataset.tolist() == ["aime24"] * 2
    assert trials.inputs[0].format == "records"


KINETICS = ['{"attn_local": 0, "attn_topk": 256, "attn_block_size": null, "attn_block_topk": null}']
GENERATIONS = [
    json.dumps({"query": "how many", "choices": ["7"], "prediction": "it is 7", "score": 100}),
    json.dumps({"query": "how many", "choices": ["7"], "prediction": "no idea at all", "score": 0}),
    json.dumps({"query": "why", "choices": ["1"], "prediction": ["a", "b c"], "score": [0, 100.0]}),
]


def test_generations_are_tokenised_and_numbered(write):
    path = write(*KINETICS, *GENERATIONS)
    trials = read_trials(path, model="qwen3-8b", dataset="aime24", tokenizer=Words())
    assert trials.generated_tokens.tolist() == [3, 4, 1, 2]
    assert trials.prompt_tokens.tolist() == [2, 2, 1, 1]
    assert trials.correct.tolist() == [True, False, False, True]
    assert trials.trial.tolist() == ["0", "1", "0", "1"]
    assert len(set(trials.problem_id)) == 2
    assert trials.policies == (TopK(256),)


@pytest.mark.parametrize(
    ("metadata", "policy"),
    [
        ({"attn_local": 0, "attn_block_size": 64, "attn_block_topk": 4}, BlockTopK(64, 4)),
        ({"attn_local": 0, "attn_topk": 0}, Dense()),
    ],
)
def test_generations_name_their_policy(write, metadata, policy):
    path = write(json.dumps({**metadata, "model": "m", "dataset": "d"}), GENERATIONS[0])
    assert read_trials(path, tokenizer=Words()).policies == (policy,)


def test_gzip_several_files_and_hashes(tmp_path, write):
    plain = write(HEADER, ROW)
    packed = tmp_path / "more.csv.gz"
    packed.write_bytes(gzip.compress(f"{HEADER}\n{ROW.replace('p1', 'p2')}\n".encode()))
    trials = read_trials([plain, packed])
    assert trials.problem_id.tolist() == ["p1", "p2"]
    for file, path in zip(trials.inputs, (plain, packed), strict=True):
        assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (file.rows, file.format) == (1, "csv")


def test_what_is_written_reads_back_the_same(write, tmp_path):
    trials = read_trials(
        [write(HEADER, ROW, ROW.replace("p1,0", "p1,1")), write(record(), name="records.jsonl")]
    )
    stream = io.StringIO()
    write_csv(trials, stream)
    again = read_trials(write(stream.getvalue(), name="again.csv"))
    for name in (
        "source",
        "model",
        "dataset",
        "problem_id",
        "trial",
        "generated_tokens",
        "correct",
        "max_tokens",
        "policy",
        "variant",
    ):
        np.testing.assert_array_equal(getattr(again, name), getattr(trials, name))
    np.testing.assert_array_equal(again.temperature, trials.temperature)
    assert again.policies == trials.policies


def test_unknown_prompts_take_what_is_known_of_the_problem_then_the_dataset(write):
    rows = [
        ROW,
        ROW.replace("p1,0", "p1,1").replace(",120", ","),
        ROW.replace("p1", "p2"),
        ROW.replace("p1,0", "p3,0").replace(",120", ","),
        "x,m,other,p1,0,5,1,,,",
    ]
    rows[2] = rows[2].replace(",120", ",141")
    filled = read_trials(write(HEADER, *rows)).with_prompt_tokens(77)
    assert filled.prompt_tokens.tolist() == [120, 120, 141, round((120 + 120 + 141) / 3), 77]


def changed(column, value):
    """The row with one field another."""
    fields = next(csv.reader([ROW]))
    fields[HEADER.split(",").index(column)] = value
    return ",".join(fields)


BAD = {
    "missing column": ([HEADER.replace("correct", "right"), ROW], ":1: no column correct"),
    "negative length": ([HEADER, ROW, changed("gen_tokens", "-5")], ":3: gen_tokens: -5 must not be"),
    "fractional length": ([HEADER, changed("gen_tokens", "1.5")], ":2: gen_tokens: '1.5' must be a whole"),
    "NaN length": ([HEADER, changed("gen_tokens", "nan")], ":2: gen_tokens: 'nan' must be a whole"),
    "NaN temperature": ([HEADER, changed("temperature", "nan")], ":2: temperature: 'nan' must be"),
    "no length": ([HEADER, changed("gen_tokens", "")], ":2: gen_tokens: '' is not a number"),
    "no model": ([HEADER, changed("model", "")], ":2: model is empty"),
    "correct is not boolean": ([HEADER, changed("correct", "0.7")], ":2: correct: '0.7' must be 1, 0"),
    "zero cap": ([HEADER, changed("max_tokens", "0")], ":2: max_tokens: 0 must be at least 1"),
    "twice": ([HEADER, ROW, ROW], ":3: trial 0 of problem p1 .* is there twice"),
    "short row": ([HEADER, "here,qwen3-8b", ROW], ":2: 2 fields where the header has 10"),
    "header only": ([HEADER], "no sample follows"),
    "record without a field": (['{"problem_id": "p"}'], ":1: sample record lacks run"),
    "record of a wrong type": ([record(), record().replace("20", '"20"')], ":2: generated_tokens='20'"),
    "record twice": ([record(), record()], ":2: trial 0 of problem p1"),
    "other JSON": (['{"a": 1}'], ":1: a JSON object with a. Expected a sample record"),
    "JSON array": (["[1, 2]", ROW], ":1: no column model"),
    "prose": (["It was a dark and stormy night", ROW], ":1: no column model"),
    "no tokenizer": ([*KINETICS, *GENERATIONS], ":1: Kinetics generations hold texts"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_with_file_line_and_advice(write, name):
    lines, words = BAD[name]
    path = write(*lines)
    with pytest.raises(InputError, match=words) as caught:
        read_trials(path)
    text = str(caught.value)
    assert text.startswith(f"{path}:")
    assert "\n" not in text
    assert text.count(". ") >= 1  # what, then how to fix it


PLAIN = f"{HEADER}\n{ROW}\n{ROW.replace('p1', 'p2')}\n"
SAME = {
    "a byte-order mark": "\ufeff" + PLAIN,
    "CR only": PLAIN.replace("\n", "\r"),
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CRLF, cut between the two": PLAIN.replace("\n", "\r\n")[:-1],
    "one of each": PLAIN.replace("\n", "\r\n", 1),
    "CR in the header alone": PLAIN.replace("\n", "\r", 1),
    "blank lines": "\n \n" + PLAIN.replace("\n", "\n\n\t\n") + "   ",
    "rows of separators, as spreadsheets leave them": PLAIN + "," * HEADER.count(",") + "\n",
    "spaces around everything": PLAIN.replace(",", " , "),
    "quotes and spaces": "\n".join('"' + line.replace(",", '", "') + '"' for line in PLAIN.splitlines())
    + "\n",
    "numbers as data frames write them": PLAIN.replace("1500,1,", "1500.0,1.0,").replace("120", "1.2e2"),
    "truth values of a spreadsheet": PLAIN.replace("1500,1,", "1500,TRUE,"),
    "a header and a mark of two files put together": "\ufeff" + PLAIN.replace("\nhere", "\n\ufeffhere"),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("packed", [False, True])
def test_how_a_table_was_saved_does_not_matter(tmp_path, name, packed):
    path = tmp_path / "trials.csv"
    data = SAME[name].encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    trials = read_trials(path)
    assert trials.problem_id.tolist() == ["p1", "p2"]
    assert trials.model.tolist() == ["qwen3-8b"] * 2
    assert trials.trial.tolist() == ["0", "0"]
    assert trials.generated_tokens.tolist() == [1500, 1500]
    assert trials.correct.tolist() == [True, True]
    assert trials.prompt_tokens.tolist() == [120, 120]


@pytest.mark.parametrize("form", ["\ufeff{0}\n", "{0}\r", "{0}\r\n", "\n\n{0}\n \n", "{0}", "\ufeff\n{0}"])
def test_how_records_were_saved_does_not_matter(tmp_path, form):
    for lines in ([record(), record(trial=1)], [*KINETICS, GENERATIONS[0]]):
        path = tmp_path / "trials.jsonl"
        end = form.partition("{0}")[2] or "\n"
        path.write_bytes(form.format(end.join(lines)).encode())
        trials = read_trials(path, model="m", dataset="d", tokenizer=Words())
        assert trials.correct.all()


def test_a_quoted_field_may_hold_line_ends(tmp_path):
    path = tmp_path / "trials.csv"
    quoted = ROW.replace("p1", '"what,\n\nis it"')
    path.write_text(f"{HEADER}\n{quoted}\n{ROW}\n")
    assert read_trials(path).problem_id.tolist() == ["what,\n\nis it", "p1"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("False", False), ("0.0", False), (" 1.0", True), ("tRuE", True)],
)
def test_truth_values(write, text, value):
    assert read_trials(write(HEADER, changed("correct", text))).correct.tolist() == [value]


@pytest.mark.parametrize(
    "text", ["yes", "T", "WAHR", "2", "-1", "0.5", "correct", "✓", "1,0", "nan", "null", ""]
)
def test_no_other_truth_values(write, text):
    with pytest.raises(InputError, match=r":2: correct: .* must be 1, 0, true or false") as caught:
        read_trials(write(HEADER, changed("correct", f'"{text}"')))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["1,500", "1_500", "１５００", "0x10", "1 500", "1500 tokens", "=1500", "∞", "1e", "--5"]
)
def test_no_other_numbers(write, text):
    for column in ("gen_tokens", "prompt_tokens", "max_tokens", "temperature"):
        with pytest.raises(InputError, match=f":2: {column}: .* is not a number"):
            read_trials(write(HEADER, changed(column, f'"{text}"')))


def test_numbers_as_programs_write_them(write):
    for text, value in (("5.0", 5), ("1e3", 1000), (" 5 ", 5), ("+7", 7), ("8.", 8), ("1.5E2", 150)):
        assert read_trials(write(HEADER, changed("gen_tokens", text))).generated_tokens.tolist() == [value]


RAW = {
    "semicolons": (PLAIN.replace(",", ";").encode(), ":1: the columns stand between semicolons"),
    "tabs": (PLAIN.replace(",", "\t").encode(), ":1: the columns stand between tabs"),
    "quotes and semicolons": (PLAIN.replace(",", '";"').encode(), ":1: the columns stand between semi"),
    "UTF-16": (PLAIN.encode("utf-16"), ":1: UTF-16 text. Save it as UTF-8"),
    "UTF-16, big end first": ("\ufeff".encode("utf-16-be") + PLAIN.encode("utf-16-be"), ":1: UTF-16"),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-le"), ":1: binary data"),
    "packed UTF-16": (gzip.compress(PLAIN.encode("utf-16")), ":1: UTF-16"),
    "Latin-1": (PLAIN.replace("p2", "Größe").encode("latin-1"), ":3: not UTF-8 text. Save it as UTF-8"),
    "half a character": (PLAIN.encode().replace(b"p2", b"\xed\xa0\x80"), ":3: not UTF-8"),
    "a zero byte": (PLAIN.replace("p2", "p\0").encode(), ":3: binary data"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", ":1: compressed with zstd. Decompress it"),
    "xz": (lzma.compress(PLAIN.encode()), ":1: compressed with xz"),
    "bzip2": (bz2.compress(PLAIN.encode()), ":1: compressed with bzip2"),
    "a workbook": (b"PK\x03\x04\x14\x00\x06", ":1: a workbook or a zip archive. Save the table"),
    "Parquet": (b"PAR1\x15\x04", ":1: a Parquet file"),
    "packed twice": (gzip.compress(gzip.compress(PLAIN.encode())), ":1: "),
    "a gzip header alone": (b"\x1f\x8b", "gzip data is cut off"),
    "a gzip header and junk": (b"\x1f\x8b" + b"junk" * 99, "gzip data is cut off or damaged"),
    "nothing, packed": (gzip.compress(b""), ":1: the file is empty"),
    "a mark and nothing": (b"\xef\xbb\xbf", ":1: the file is empty"),
    "a column twice": (PLAIN.replace("source", "model").encode(), ":1: the header names model twice"),
    "a column twice but for a space": (PLAIN.replace("source", " correct ").encode(), "names correct twice"),
    "a huge field": (PLAIN.replace("p2", "p" * 200_000).encode(), ":3: not CSV .field larger"),
    "a huge header": (("x" * 200_000 + "," + PLAIN).encode(), ":1: not CSV .field larger"),
    "a quote nobody closes": (
        PLAIN.replace("p1", '"p1').encode() + PLAIN.encode()[:99],
        "not CSV .* in the row that begins on line 2",
    ),
    "a quote nobody closes in the header": (('"' + PLAIN).encode(), "not CSV .* begins on line 1"),
    "a quote within a field": (PLAIN.replace("p2", '"p"2').encode(), ":3: not CSV"),
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_table_is_one_line(tmp_path, name):
    data, words = RAW[name]
    path = tmp_path / "trials.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        read_trials(path)
    assert str(caught.value).startswith(f"{path}:")
    assert "\n" not in str(caught.value)


HALF = "\\ud83d"


@pytest.mark.parametrize(
    "lines",
    [
        [record().replace('"p1"', f'"{HALF}"')],
        [record().replace('"qwen3-8b"', f'"x{HALF}"')],
        [*KINETICS, GENERATIONS[0].replace("how many", HALF)],
        [*KINETICS, GENERATIONS[0].replace("it is 7", f"7 {HALF}")],
        [KINETICS[0].replace("}", f', "model": "{HALF}"}}'), GENERATIONS[0]],
    ],
)
def test_half_of_a_character_is_refused_where_it_stands(write, lines):
    path = write(*lines)
    given = {"dataset": "d", "tokenizer": Words()}
    with pytest.raises(InputError, match=f":{len(lines)}: .* holds half of a character") as caught:
        read_trials(path, **given, **({} if '"model"' in lines[0] else {"model": "m"}))
    assert str(caught.value).isascii() or str(caught.value).encode()


@pytest.mark.parametrize("paths", [5, None, b"trials.csv", [None], ["\0"], "\ud800", ["\ud800.csv"]])
def test_what_is_no_path_is_one_line(paths):
    with pytest.raises(InputError) as caught:
        read_trials(paths)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (GENERATIONS[0].replace("100", "70"), "score 70 must be 0 or 100"),
        (GENERATIONS[2].replace("[0, 100.0]", "[0]"), "2 predictions with 1 scores"),
        (GENERATIONS[0].replace("query", "question"), "not a whole object with query"),
        (GENERATIONS[0].replace('"it is 7"', "7"), "query and prediction must be texts"),
    ],
)
def test_bad_generations(write, line, words):
    path = write(*KINETICS, line)
    with pytest.raises(InputError, match=f":2: {words}"):
        read_trials(path, model="m", dataset="d", tokenizer=Words())


def test_generations_whose_model_nobody_names(write):
    with pytest.raises(InputError, match="does not name the model"):
        read_trials(write(*KINETICS, *GENERATIONS), tokenizer=Words())


@pytest.mark.parametrize("lines", [[record(), record(trial=1)[:40]], [HEADER, ROW, "here,qwen3-8b,aime"]])
def test_a_torn_last_line_says_so(write, lines):
    path = write(*lines, end="")
    with pytest.raises(InputError, match=f":{len(lines)}: .*last line is torn"):
        read_trials(path)


def test_a_torn_gzip_says_so(tmp_path):
    path = tmp_path / "torn.csv.gz"
    rows = "\n".join(changed("trial", str(i)) for i in range(2_000))
    path.write_bytes(gzip.compress(f"{HEADER}\n{rows}\n".encode())[:-500])
    with pytest.raises(InputError, match="gzip data is cut off or damaged"):
        read_trials(path)


def test_absent_empty_and_blank_files(tmp_path):
    for text in ("", "\n \n"):
        (tmp_path / "empty").write_text(text)
        with pytest.raises(InputError, match="the file is empty"):
            read_trials(tmp_path / "empty")
    with pytest.raises(InputError, match="No such file"):
        read_trials(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="name at least one file"):
        read_trials([])


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (b"\x00\xff\x13" * 4096, "binary data"),
        (b"\xff\xfc\xfd" * 4096, "more than 4 MiB"),
        (b"\xff\xfe\xfd" * 4096, "UTF-16"),
        (b"a" * 4096, "more than 4 MiB"),
        (b"a,b\n" * 4096, "no column model"),
        (b"\xff\n" * 4096, "not UTF-8"),
    ],
)
def test_junk_fails_before_it_is_read(tmp_path, monkeypatch, chunk, words):
    path = tmp_path / "junk"
    with open(path, "wb") as stream:
        for _ in range(10 * FIRST_LINE_BYTES // len(chunk)):
            stream.write(chunk)
    read = []
    from kinetics_jax.scaling.traces import text_lines as lines

    original = lines._HashingFile.readinto

    def counting(self, buffer):
        read.append(original(self, buffer))
        return read[-1]

    monkeypatch.setattr(lines._HashingFile, "readinto", counting)
    with pytest.raises(InputError, match=f":1: .*{words}"):
        read_trials(path)
    assert sum(read) <= 2 * FIRST_LINE_BYTES


def test_real_traces(shared):
    trials = read_trials(shared / "data" / "traces" / "traces.csv.gz")
    assert len(trials) == 46_299
    cells = group_cells(trials)
    assert sum(int(cell.samples.sum()) for cell in cells) == len(trials)
    one = [c for c in cells if c.dataset == "aime_1983_2024"]
    assert [len(c.questions) for c in one] == [596]
    assert one[0].max_trials == 8
    assert one[0].accuracy == pytest.approx(0.336, abs=5e-4)
    forced = {c.variant for c in cells if c.model == "s1.1-14B"}
    assert forced == {"combined", "combined_en_only", "prefix", "system", "wait"}
    capped = [c for c in cells if c.source.startswith("Sunshine") and c.dataset == "gsm8k_test"]
    assert {c.variant for c in capped} == {"nothink", "thinking", "vllm_nothink", "vllm_thinking"}
    assert all(c.max_trials == 1 for c in capped)


SMALL = {"vocab_size": 9, "model_dim": 8, "ffn_dim": 8, "num_layers": 1, "num_query_heads": 2}
SMALL |= {"num_kv_heads": 1, "head_dim": 4}


def with_model(model, shape=None, **fields):
    given = json.loads(record(**fields)) | {"model": model}
    return json.dumps(given if shape is None else given | {"shape": shape})


def test_a_model_that_is_no_preset_has_the_shape_in_its_records(write, tmp_path):
    trials = read_trials(write(with_model("mine", SMALL), with_model("qwen3-8b", trial=1)))
    assert trials.shape_of("mine").num_query_heads == 2
    assert trials.shape_of("qwen3-8b") is presets["qwen3-8b"]
    assert trials.shape_of("qwen9") is None
    with open(tmp_path / "t.csv", "w", newline="") as stream:
        write_csv(trials, stream)
    assert read_trials(tmp_path / "t.csv").shape_of("mine") == trials.shape_of("mine")


def test_one_name_has_one_shape(write):
    other = SMALL | {"num_layers": 2}
    with pytest.raises(InputError, match=r":2: mine has another shape here than above. Rename"):
        read_trials(write(with_model("mine", SMALL), with_model("mine", other, trial=1)))
    trials = read_trials(write(with_model("qwen3-8b", SMALL)))
    with pytest.raises(InputError, match="not the preset of that name: vocab_size is 9, not 151936; rename"):
        trials.shape_of("qwen3-8b")
    trials = read_trials(write(with_model("mine", {"depth": 3})))  # of a later version: still read
    with pytest.raises(InputError, match="mine: its shape cannot be read"):
        trials.shape_of("mine")


def test_a_policy_that_is_not_known_is_read_and_left_out_of_laws(write, tmp_path):
    lines = [with_model("qwen3-8b").replace('"topk"', '"tpok"'), with_model("qwen3-8b", trial=1)]
    trials = read_trials(write(*lines))
    assert [policy.name for policy in trials.policies] == ["tpok", "topk"]
    with open(tmp_path / "t.csv", "w", newline="") as stream:
        write_csv(trials, stream)
    assert read_trials(tmp_path / "t.csv").policies == trials.policies
    families, skipped = comparable_families(trials.with_prompt_tokens(1), min_questions=1)
    assert [cell.policy.name for cell in families[0].cells] == ["topk"]
    assert any("policy tpok" in reason and "is not known here" in reason for reason in skipped)
