"""The rows of a trials table, and the two formats in JSON; ``trials_csv`` is the third."""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kinetics_jax.checks import is_text
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, Policy, SlidingWindow, TopK
from kinetics_jax.records.sample_record import SampleRecord
from kinetics_jax.scaling.traces.text_lines import Lines
from kinetics_jax.scaling.traces.trials import COLUMNS, UNKNOWN_CAP, InputFile, Trials


class Rows:
    """Rows on their way into a ``Trials``; a sample that comes twice is refused."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._seen: set[tuple[Any, ...]] = set()
        self._policies: dict[Policy, int] = {}
        self.file = 0
        """Index of the file that is being read."""
        self._variants: dict[str, str] = {}
        self._shapes: dict[str, Mapping[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        lines: Lines,
        *,
        source: str,
        model: str,
        policy: Policy,
        dataset: str,
        problem_id: str,
        trial: str,
        prompt_tokens: float,
        generated_tokens: int,
        correct: bool,
        max_tokens: int,
        temperature: float,
        shape: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one sample; ``lines`` says where it was read."""
        if shape is not None and self._shapes.setdefault(model, shape) != shape:
            raise lines.error(f"{model} has another shape here than above", "rename one of the two models")
        for name in (source, model, dataset, problem_id, trial):
            if not is_text(name):  # JSON can spell what UTF-8 cannot
                raise lines.error(f"{name!r} holds half of a character", lines.mend())
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
        self._rows.append(
            (
                source,
                model,
                dataset,
                problem_id,
                trial,
                variant,
                code,
                prompt_tokens,
                generated_tokens,
                correct,
                max_tokens,
                temperature,
                self.file,
                lines.number,
            )
        )

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
            for name, column, kind in zip(COLUMNS, zip(*self._rows, strict=True), kinds, strict=True)
        }
        return Trials(**columns, policies=tuple(self._policies), inputs=tuple(inputs), shapes=self._shapes)


def read_records(first: str, lines: Lines, rows: Rows) -> None:
    """Sample records, one JSON object a line (``spec.SampleRecord``)."""
    line: str | None = first
    following = iter(lines)
    while line is not None:
        try:
            record = SampleRecord.from_json(line)
        except InputError as error:
            raise lines.error(str(error), lines.mend()) from None
        rows.add(
            lines,
            source=record.run,
            model=record.model,
            policy=record.policy,
            dataset=record.task,
            problem_id=record.problem_id,
            trial=str(record.trial),
            prompt_tokens=record.prompt_tokens,
            generated_tokens=record.generated_tokens,
            correct=record.correct,
            max_tokens=UNKNOWN_CAP if record.max_tokens is None else record.max_tokens,
            temperature=math.nan if record.temperature is None else record.temperature,
            shape=record.shape,
        )
        line = next(following, None)


def read_kinetics(
    lines: Lines, metadata: dict[str, Any], rows: Rows, model: str | None, dataset: str | None, tokenizer: Any
) -> None:
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
        if not isinstance(value, str) or not value:
            raise lines.error(f"the metadata does not name the {name}", f"give {name}=…, or --trace_{name}=…")
    policy = _kinetics_policy(metadata, lines)
    trials_of: dict[str, int] = {}
    for line in lines:
        query, predictions, scores = _kinetics_fields(line, lines)
        problem_id = hashlib.sha256(query.encode()).hexdigest()[:12]
        prompt_tokens = len(tokenizer.encode(query))
        for text, score in zip(predictions, scores, strict=True):
            trial = trials_of[problem_id] = trials_of.get(problem_id, -1) + 1
            rows.add(
                lines,
                source=os.path.basename(lines.path),
                model=str(model),
                policy=policy,
                dataset=str(dataset),
                problem_id=problem_id,
                trial=str(trial),
                prompt_tokens=prompt_tokens,
                generated_tokens=len(tokenizer.encode(text)),
                correct=score == 100,
                max_tokens=UNKNOWN_CAP,
                temperature=math.nan,
            )


def _kinetics_policy(metadata: dict[str, Any], lines: Lines) -> Policy:
    """The policy that the metadata's attn_* fields ask for; absent, null and 0 mean "not used"."""
    local, k, block, blocks = (
        metadata.get(name) or 0 for name in ("attn_local", "attn_topk", "attn_block_size", "attn_block_topk")
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
        raise lines.error("not a whole object with query, prediction, score", lines.mend()) from None
    if isinstance(predictions, str):
        predictions, scores = [predictions], [scores]
    texts = isinstance(predictions, list) and all(isinstance(text, str) for text in predictions)
    if not isinstance(query, str) or not texts or not isinstance(scores, list):
        raise lines.error("query and prediction must be texts, score a number", lines.mend())
    if not all(map(is_text, [query, *predictions])):  # JSON can spell what UTF-8 cannot
        raise lines.error("query or prediction holds half of a character", lines.mend())
    if len(scores) != len(predictions):
        raise lines.error(
            f"{len(predictions)} predictions with {len(scores)} scores", "one score a prediction"
        )
    if bad := [score for score in scores if score not in (0, 100)]:
        raise lines.error(f"score {bad[0]!r} must be 0 or 100", lines.mend())
    return query, predictions, scores
