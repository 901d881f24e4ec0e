"""Sample records, as the engine and every sweep write them: one JSON object a line."""

import itertools
import math

from kinetics_jax.errors import InputError
from kinetics_jax.records.sample_record import SampleRecord
from kinetics_jax.scaling.traces.rows import Row, Rows
from kinetics_jax.scaling.traces.text_lines import Lines
from kinetics_jax.scaling.traces.trials import UNKNOWN_CAP


def read_records(first: str, lines: Lines, rows: Rows) -> None:
    """Sample records (``records.SampleRecord``), the first line of the file being ``first``."""
    for line in itertools.chain([first], lines):
        try:
            record = SampleRecord.from_json(line)
        except InputError as error:
            raise lines.error(str(error), lines.advice()) from None
        row = Row(
            source=record.run,
            model=record.model,
            dataset=record.task,
            problem_id=record.problem_id,
            trial=str(record.trial),
            policy=record.policy,
            prompt_tokens=record.prompt_tokens,
            generated_tokens=record.generated_tokens,
            correct=record.correct,
            max_tokens=UNKNOWN_CAP if record.max_tokens is None else record.max_tokens,
            temperature=math.nan if record.temperature is None else record.temperature,
            answer=record.answer,
            shape=record.shape,
            deployment=record.deployment,
        )
        rows.add(lines, row)
