"""The generations that the paper's authors published: texts and scores, one question a line."""

import hashlib
import json
import os
from typing import Any

from kinetics_jax.checks import is_text
from kinetics_jax.errors import InputError
from kinetics_jax.policies import BlockTopK, Dense, Policy, SlidingWindow, TopK
from kinetics_jax.scaling.traces.rows import Row, Rows
from kinetics_jax.scaling.traces.text_lines import Lines


def read_published(
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
    policy = _policy(metadata, lines)
    trials_of: dict[str, int] = {}
    for line in lines:
        query, predictions, scores = _fields(line, lines)
        problem_id = hashlib.sha256(query.encode()).hexdigest()[:12]
        prompt_tokens = len(tokenizer.encode(query))
        for text, score in zip(predictions, scores, strict=True):
            trial = trials_of[problem_id] = trials_of.get(problem_id, -1) + 1
            row = Row(
                source=os.path.basename(lines.path),
                model=str(model),
                dataset=str(dataset),
                problem_id=problem_id,
                trial=str(trial),
                policy=policy,
                prompt_tokens=prompt_tokens,
                generated_tokens=len(tokenizer.encode(text)),
                correct=score == 100,
            )
            rows.add(lines, row)


def _policy(metadata: dict[str, Any], lines: Lines) -> Policy:
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
        raise lines.error(f"attn_ fields that no policy takes ({error})", lines.advice()) from None


def _fields(line: str, lines: Lines) -> tuple[str, list[str], list[float]]:
    try:
        fields = json.loads(line)
        query, predictions, scores = fields["query"], fields["prediction"], fields["score"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise lines.error("not a whole object with query, prediction, score", lines.advice()) from None
    if isinstance(predictions, str):
        predictions, scores = [predictions], [scores]
    texts = isinstance(predictions, list) and all(isinstance(text, str) for text in predictions)
    if not isinstance(query, str) or not texts or not isinstance(scores, list):
        raise lines.error("query and prediction must be texts, score a number", lines.advice())
    if not all(map(is_text, [query, *predictions])):  # JSON can spell what UTF-8 cannot
        raise lines.error("query or prediction holds half of a character", lines.advice())
    if len(scores) != len(predictions):
        raise lines.error(
            f"{len(predictions)} predictions with {len(scores)} scores", "one score a prediction"
        )
    if bad := [score for score in scores if score not in (0, 100)]:
        raise lines.error(f"score {bad[0]!r} must be 0 or 100", lines.advice())
    return query, predictions, scores
