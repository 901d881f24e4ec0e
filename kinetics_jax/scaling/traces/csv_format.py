"""A trials CSV: from lines to rows, and from a table to lines.

What programs and spreadsheets write in their own ways and cannot be mistaken is read (TRUE, 1.0, spaces,
quotes); what could mean two things (1,500, yes, semicolons and decimal commas) is refused.
"""

import csv
import itertools
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from kinetics_jax.errors import InputError
from kinetics_jax.policies import Dense, Policy, policy_from_stored, policy_to_dict
from kinetics_jax.records.deployment import check_deployment
from kinetics_jax.records.stored import MAX_COUNT, read_object
from kinetics_jax.scaling.traces.rows import Row, Rows
from kinetics_jax.scaling.traces.spreadsheet_text import from_cell, to_cell
from kinetics_jax.scaling.traces.text_lines import Lines
from kinetics_jax.scaling.traces.trials import NOT_RECORDED, UNKNOWN_CAP, Trials

REQUIRED_COLUMNS = ("model", "dataset", "problem_id", "trial", "gen_tokens", "correct")
_WRITTEN = (
    "source,model,dataset,problem_id,trial,gen_tokens,correct,max_tokens,temperature,prompt_tokens,policy"
)
_OBJECTS = ("shape", "deployment")
"""Columns of JSON, written where some row has one."""
_OPTIONAL = ("source", "max_tokens", "temperature", "prompt_tokens", "policy", "answer")
_COLUMNS = (*REQUIRED_COLUMNS, *_OPTIONAL, *_OBJECTS)
_BOOLEANS = {"1": True, "0": False, "1.0": True, "0.0": False, "true": True, "false": False}
"""In any case: programs write True, spreadsheets TRUE, data frames with gaps 1.0."""
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf)", re.ASCII | re.IGNORECASE)


def read_csv(first: str, lines: Lines, rows: Rows) -> None:
    """A trials CSV: a header, then one sample a row, each ended by a newline.

    Spaces around names and values do not count, nor do rows without any value.
    """
    table = _csv_rows(first, lines)
    header = [name.strip() for name in next(table, [])]
    _check_header(header, lines)
    width = len(header)
    stem = os.path.basename(lines.path).split(".")[0]
    policies: dict[str, Policy] = {"": Dense()}
    for cells in table:
        if len(cells) != width:
            raise lines.error(f"{len(cells)} fields where the header has {width}", lines.advice())
        fields = _Fields({name: cell.strip() for name, cell in zip(header, cells, strict=True)}, lines)
        text = fields.get("policy")
        if text not in policies:
            policies[text] = fields.parse("policy", policy_from_stored)
        row = Row(
            source=fields.get("source") or stem,
            model=fields.name("model"),
            dataset=fields.name("dataset"),
            problem_id=fields.name("problem_id"),
            trial=fields.get("trial"),
            policy=policies[text],
            prompt_tokens=fields.optional("prompt_tokens", _count, math.nan),
            generated_tokens=fields.parse("gen_tokens", _count),
            correct=fields.parse("correct", _boolean),
            max_tokens=fields.optional("max_tokens", _positive_count, UNKNOWN_CAP),
            temperature=fields.optional("temperature", _non_negative, math.nan),
            answer=fields.get("answer") if "answer" in header else None,
            shape=fields.optional("shape", _object, None),
            deployment=fields.optional("deployment", _deployment, None),
        )
        rows.add(lines, row)


def write_csv(trials: Trials, stream: TextIO) -> None:
    """Write a table as ``read_csv`` reads it; no text of it is a formula to a spreadsheet."""
    policies = [to_cell(policy_text(policy)) for policy in trials.policies]
    shapes = {model: json.dumps(shape) for model, shape in trials.shapes.items()}
    ran = ["", *(json.dumps(one.to_stored()) for one in trials.deployments)]
    objects = {
        "shape": [shapes.get(model, "") for model in trials.model],
        "deployment": [ran[i - NOT_RECORDED] for i in trials.deployment],
    }
    there = [name for name in _OBJECTS if any(objects[name])]
    names = (trials.source, trials.model, trials.dataset, trials.problem_id, trials.trial)
    answers = any(answer is not None for answer in trials.answer)
    columns = (
        *([to_cell(text) for text in column] for column in names),
        trials.generated_tokens.tolist(),
        trials.correct.astype(int).tolist(),
        ["" if cap == UNKNOWN_CAP else cap for cap in trials.max_tokens.tolist()],
        ["" if math.isnan(value) else f"{value:g}" for value in trials.temperature],
        ["" if math.isnan(tokens) else int(tokens) for tokens in trials.prompt_tokens],
        [policies[i] for i in trials.policy],
        *([[to_cell(answer or "") for answer in trials.answer]] if answers else []),
        *(objects[name] for name in there),
    )
    stream.write(",".join((_WRITTEN, *["answer"] * answers, *there)) + "\n")
    csv.writer(stream, lineterminator="\n").writerows(zip(*columns, strict=True))


def policy_text(policy: Policy) -> str:
    """The policy as ``policies.parse_policy`` reads it, such as ``topk(k=512,local=0)``."""
    fields = policy_to_dict(policy)
    name = fields.pop("name")
    return f"{name}({','.join(f'{k}={v!r}' for k, v in fields.items())})" if fields else name


def _check_header(header: list[str], lines: Lines) -> None:
    wanted = f"a trials CSV needs {','.join(REQUIRED_COLUMNS)}"
    if missing := [name for name in REQUIRED_COLUMNS if name not in header]:
        for separator, name in ((";", "semicolons"), ("\t", "tabs")):
            parts = {part.strip(' "') for part in separator.join(header).split(separator)}
            if parts.issuperset(REQUIRED_COLUMNS):
                raise lines.error(
                    f"the columns stand between {name}",
                    "save the table with commas between columns and points in numbers",
                )
        found = ", ".join(name[:24] for name in header[:8])
        more = "…" if len(header) > 8 else ""
        raise lines.error(f"no column {', '.join(missing)} in the header ({found}{more})", wanted)
    if twice := [name for name in _COLUMNS if header.count(name) > 1]:
        raise lines.error(f"the header names {', '.join(twice)} twice", "keep one of the columns")


def _csv_rows(first: str, lines: Lines) -> Iterator[list[str]]:
    """Rows that hold any value, ``first`` being the line that the table begins with."""
    reader = csv.reader(itertools.chain([first], lines.all()), skipinitialspace=True, strict=True)
    end = lines.number - 1
    while True:
        begin = end + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            where = f"not CSV ({error})"
            if begin < lines.number:  # a quote that nothing closes swallows what follows
                where += f" in the row that begins on line {begin}"
            raise lines.error(where, lines.advice()) from None
        end = lines.number
        if not any(cell.strip() for cell in cells):
            continue
        if lines.torn:
            # 12 may be what is left of 12345: a cut inside the last field cannot be seen otherwise.
            raise lines.error(
                "the last line is torn or lacks its newline",
                "if it is whole, end the file with a newline; else delete it or resume the run",
            )
        yield cells


class _Fields:
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
            raise self._lines.error(f"{column}: {error}", self._lines.advice()) from None

    def optional(self, column: str, parser: Callable[[str], Any], unknown: Any) -> Any:
        return self.parse(column, parser) if self._fields.get(column) else unknown


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise InputError(f"{_shown(text)} must be 1, 0, true or false") from None


def _object(text: str) -> dict[str, Any]:
    return read_object(text, "shape")


def _deployment(text: str) -> dict[str, Any]:
    fields = read_object(text, "deployment")
    check_deployment(fields)
    return fields


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return int(text)
    value = _number(text)
    if not value.is_integer():  # NaN and infinity are not integers either
        raise InputError(f"{_shown(text)} must be a whole number of tokens")
    if value < 0:
        raise InputError(f"{text[:40]} must not be negative")
    if value > MAX_COUNT:
        raise InputError(f"{text[:40]} is no number of tokens: it is too large")
    return int(value)


def _positive_count(text: str) -> int:
    value = _count(text)
    if value < 1:
        raise InputError(f"{text[:40]} must be at least 1, or empty where unknown")
    return value


def _non_negative(text: str) -> float:
    value = _number(text)
    if not 0 <= value < math.inf:
        raise InputError(f"{_shown(text)} must be a finite number ≥ 0, or empty where unknown")
    return value


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):  # float() takes more: 1_000, digits of other scripts
        raise InputError(f"{_shown(text)} is not a number")
    return float(text)


def _shown(text: str) -> str:
    return repr(text[:40])
