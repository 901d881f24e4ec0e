"""The three formats that trials come in, each a function from lines to rows."""

import csv
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kinetics_jax.scaling.csv_text import from_cell
from kinetics_jax.scaling.lines import Lines
from kinetics_jax.scaling.trials import COLUMNS, UNKNOWN_CAP, InputFile, Trials
from kinetics_jax.spec.errors import InputError
from kinetics_jax.spec.policies import (
    BlockTopK,
    Dense,
    Policy,
    SlidingWindow,
    TopK,
    UnknownPolicy,
    parse_policy,
    policy_from_dict,
)
from kinetics_jax.spec.records import MAX_COUNT, SampleRecord

REQUIRED_COLUMNS = ("model", "dataset", "problem_id", "trial", "gen_tokens", "correct")
_BOOLEANS = {"1": True, "0": False, "true": True, "false": False, "True": True, "False": False}


class Rows:
    """Rows on their way into a ``Trials``; a sample that comes twice is refused."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._seen: set[tuple[Any, ...]] = set()
        self._policies: dict[Policy, int] = {}
        self.file = 0
        """Index of the file that is being read."""
        self._variants: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, lines: Lines, *, source: str, model: str, policy: Policy, dataset: str, problem_id: str,
        trial: str, prompt_tokens: float, generated_tokens: int, correct: bool, max_tokens: int,
        temperature: float,
    ) -> None:  # fmt: skip
        """Append one sample; ``lines`` says where it was read."""
        code = self._policies.setdefault(policy, len(self._policies))
        key = (source, model, code, dataset, max_tokens, problem_id, trial)
        if key in self._seen:
            raise lines.error(
                f"trial {trial} of problem {problem_id} ({model}, {dataset}) is there twice",
                "delete one of the two, or give each sample its own trial",
            )
        self._seen.add(key)
        if trial not in self._variants:
            self._variants[trial] = re.sub(r"\d+", "", trial).strip("_- ")
        variant = self._variants[trial]
        self._rows.append((source, model, dataset, problem_id, trial, variant, code, prompt_tokens,
                           generated_tokens, correct, max_tokens, temperature, self.file,
                           lines.number))  # fmt: skip

    def to_trials(self, inputs: Sequence[InputFile]) -> Trials:
        """The table of all rows added."""
        kinds: tuple[type, ...] = (object,) * 6 + (
            np.int64,
            np.float64,
            np.int64,
            np.bool_,
            np.int64,
            np.float64,
            np.int64,
            np.int64,
        )
        columns: dict[str, Any] = {
            name: np.array(column, dtype=kind)
            for name, column, kind in zip(
                COLUMNS, zip(*self._rows, strict=True), kinds, strict=True
            )
        }
        return Trials(**columns, policies=tuple(self._policies), inputs=tuple(inputs))


def read_records(first: str, lines: Lines, rows: Rows) -> None:
    """Sample records, one JSON object a line (``spec.SampleRecord``)."""
    line: str | None = first
    following = iter(lines)
    while line is not None:
        try:
            record = SampleRecord.from_json(line)
            if isinstance(
                record.policy, UnknownPolicy
            ):  # a record keeps it; a price needs its class
                policy_from_dict(record.policy.fields)
        except InputError as error:
            raise lines.error(str(error), lines.mend()) from None
        rows.add(
            lines, source=record.run, model=record.model, policy=record.policy, dataset=record.task,
            problem_id=record.problem_id, trial=str(record.trial), prompt_tokens=record.prompt_tokens,
            generated_tokens=record.generated_tokens, correct=record.correct,
            max_tokens=UNKNOWN_CAP if record.max_tokens is None else record.max_tokens,
            temperature=math.nan if record.temperature is None else record.temperature,
        )  # fmt: skip
        line = next(following, None)


def read_csv(first: str, lines: Lines, rows: Rows) -> None:
    """A trials CSV: a header, then one sample a row, each ended by a newline."""
    header = next(csv.reader([first]))
    if missing := [name for name in REQUIRED_COLUMNS if name not in header]:
        found = ", ".join(name[:24] for name in header[:8])
        raise lines.error(
            f"no column {', '.join(missing)} in the header ({found}{'…' if len(header) > 8 else ''})",
            f"a trials CSV needs {','.join(REQUIRED_COLUMNS)}",
        )
    width = len(header)
    stem = os.path.basename(lines.path).split(".")[0]
    policies: dict[str, Policy] = {"": Dense()}
    for cells in _csv_rows(lines):
        if len(cells) != width:
            raise lines.error(f"{len(cells)} fields where the header has {width}", lines.mend())
        row = _Row(dict(zip(header, cells, strict=True)), lines)
        text = row.get("policy")
        if text not in policies:
            policies[text] = row.parse("policy", parse_policy)
        rows.add(
            lines, source=row.get("source") or stem, model=row.name("model"), policy=policies[text],
            dataset=row.name("dataset"), problem_id=row.name("problem_id"), trial=row.get("trial"),
            prompt_tokens=row.optional("prompt_tokens", _count, math.nan),
            generated_tokens=row.parse("gen_tokens", _count), correct=row.parse("correct", _boolean),
            max_tokens=row.optional("max_tokens", _positive_count, UNKNOWN_CAP),
            temperature=row.optional("temperature", _non_negative, math.nan),
        )  # fmt: skip


def _csv_rows(lines: Lines) -> Iterator[list[str]]:
    reader = csv.reader(lines)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise lines.error(f"not CSV ({error})", lines.mend()) from None
        if lines.torn:
            # 12 may be what is left of 12345: a cut inside the last field cannot be seen otherwise.
            raise lines.error(
                "the last line is torn or lacks its newline",
                "if it is whole, end the file with a newline; else delete it or resume the run",
            )
        yield cells


class _Row:
    """The fields of one CSV row, with errors that name the column."""

    def __init__(self, fields: dict[str, str], lines: Lines) -> None:
        self._fields, self._lines = fields, lines

    def get(self, column: str) -> str:
        return from_cell(self._fields.get(column, ""))

    def name(self, column: str) -> str:
        if text := self.get(column):
            return text
        raise self._lines.error(f"{column} is empty", "every sample needs one")

    def parse(self, column: str, parser: Callable[[str], Any]) -> Any:
        try:
            return parser(self._fields[column])
        except InputError as error:
            raise self._lines.error(f"{column}: {error}", self._lines.mend()) from None

    def optional(self, column: str, parser: Callable[[str], Any], unknown: Any) -> Any:
        return self.parse(column, parser) if self._fields.get(column) else unknown


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text]
    except KeyError:
        raise InputError(f"{text!r} must be 1, 0, true or false") from None


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return int(text)
    value = _number(text)
    if not value.is_integer():  # NaN and infinity are not integers either
        raise InputError(f"{text!r} must be a whole number of tokens")
    if value < 0:
        raise InputError(f"{text} must not be negative")
    if value > MAX_COUNT:
        raise InputError(f"{text[:40]} is no number of tokens: it is too large")
    return int(value)


def _positive_count(text: str) -> int:
    value = _count(text)
    if value < 1:
        raise InputError(f"{text} must be at least 1, or empty where unknown")
    return value


def _non_negative(text: str) -> float:
    value = _number(text)
    if not 0 <= value < math.inf:
        raise InputError(f"{text!r} must be a finite number ≥ 0, or empty where unknown")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text[:40]!r} is not a number") from None


def read_kinetics(
    lines: Lines, metadata: dict[str, Any], rows: Rows, model: str | None, dataset: str | None,
    tokenizer: Any,
) -> None:  # fmt: skip
    """The published generations: a metadata line, then query, choices, prediction, score 0/100.

    ``prediction`` is the generated text of one trial with its ``score``, or a list of them with a list
    of scores. Texts are counted with the tokenizer; the prompt is the bare query, without the chat
    template's few tokens. A problem's id is a hash of its query, so that models meet on it.
    """
    if tokenizer is None:
        raise lines.error(
            "Kinetics generations hold texts, not token counts",
            "give a tokenizer: read_trials(path, tokenizer=…), or --tokenizer=tokenizer.json",
        )
    model, dataset = model or metadata.get("model"), dataset or metadata.get("dataset")
    for name, value in (("model", model), ("dataset", dataset)):
        if not isinstance(value, str):
            raise lines.error(
                f"the metadata does not name the {name}", f"give {name}=…, or --trace_{name}=…"
            )
    policy = _kinetics_policy(metadata, lines)
    trials_of: dict[str, int] = {}
    for line in lines:
        query, predictions, scores = _kinetics_fields(line, lines)
        problem_id = hashlib.sha256(query.encode()).hexdigest()[:12]
        prompt_tokens = len(tokenizer.encode(query))
        for text, score in zip(predictions, scores, strict=True):
            trial = trials_of[problem_id] = trials_of.get(problem_id, -1) + 1
            rows.add(
                lines, source=os.path.basename(lines.path), model=str(model), policy=policy,
                dataset=str(dataset), problem_id=problem_id, trial=str(trial),
                prompt_tokens=prompt_tokens, generated_tokens=len(tokenizer.encode(text)),
                correct=score == 100, max_tokens=UNKNOWN_CAP, temperature=math.nan,
            )  # fmt: skip


def _kinetics_policy(metadata: dict[str, Any], lines: Lines) -> Policy:
    """The policy that the metadata's attn_* fields ask for; absent, null and 0 mean "not used"."""
    local, k, block, blocks = (
        metadata.get(name) or 0
        for name in ("attn_local", "attn_topk", "attn_block_size", "attn_block_topk")
    )
    if k and blocks:
        raise lines.error("attn_topk and attn_block_topk are both set", "keep the one that ran")
    try:
        if k:
            return TopK(k, local=local)
        if blocks:
            return BlockTopK(block, blocks, local=local)
        return SlidingWindow(local) if local else Dense()
    except (InputError, TypeError) as error:
        raise lines.error(f"attn_ fields that no policy takes ({error})", lines.mend()) from None


def _kinetics_fields(line: str, lines: Lines) -> tuple[str, list[str], list[float]]:
    try:
        fields = json.loads(line)
        query, predictions, scores = fields["query"], fields["prediction"], fields["score"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise lines.error(
            "not a whole object with query, prediction, score", lines.mend()
        ) from None
    if isinstance(predictions, str):
        predictions, scores = [predictions], [scores]
    texts = isinstance(predictions, list) and all(isinstance(text, str) for text in predictions)
    if not isinstance(query, str) or not texts or not isinstance(scores, list):
        raise lines.error("query and prediction must be texts, score a number", lines.mend())
    if len(scores) != len(predictions):
        raise lines.error(
            f"{len(predictions)} predictions with {len(scores)} scores", "one score a prediction"
        )
    if bad := [score for score in scores if score not in (0, 100)]:
        raise lines.error(f"score {bad[0]!r} must be 0 or 100", lines.mend())
    return query, predictions, scores
