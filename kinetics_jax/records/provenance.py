"""What decides a sample's tokens besides its problem and trial, as plain data that a sample carries.

Two samples with one ``SampleKey`` are the same only if this is the same too: digests of the weights, the
tokenizer and the prompt, dtypes, sampling, and the rules that end a sample.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kinetics_jax.policies import Policy, policy_to_dict
from kinetics_jax.records.sample import Sample

DIGEST_LENGTH = 16
"""Hexadecimal digits of the digests: 64 bits tell apart what was not made to collide."""


def tokens_digest(tokens: Iterable[int]) -> str:
    """Of token ids, in order."""
    ids = np.fromiter(tokens, dtype="<i8")
    return hashlib.sha256(ids.tobytes()).hexdigest()[:DIGEST_LENGTH]


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: dataclasses as objects, tuples as lists."""
    return json.loads(json.dumps(fields, default=_as_object))


def _as_object(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not plain data")


def experiment(
    provenance: Mapping[str, Any], *, model: str, policy: Policy, seed: int, temperature: float | None
) -> dict[str, Any]:
    """All that is the same for every problem and trial of an experiment, as plain data."""
    said = {name: value for name, value in provenance.items() if name != "prompt"}
    said |= {"model": model, "policy": policy_to_dict(policy), "seed": seed}
    if temperature is not None:
        said["temperature"] = temperature
    return plain(said)


def experiment_of(sample: Sample) -> dict[str, Any]:
    """The experiment that a sample says it is of: little where it is of an earlier version."""
    return experiment(
        sample.provenance or {},
        model=sample.model,
        policy=sample.policy,
        seed=sample.seed,
        temperature=sample.temperature,
    )


def prompt_of(sample: Sample) -> dict[str, Any]:
    """What a sample says of its problem's prompt and cap."""
    said = {
        "prompt": (sample.provenance or {}).get("prompt"),
        "prompt_tokens": sample.prompt_tokens,
        "max_tokens": sample.max_tokens,
    }
    return {name: value for name, value in said.items() if value is not None}


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first thing that both say and say differently, in words; empty where there is none.

    Where both know the weights by their content, the model's name decides nothing.
    """
    by_content = "weights" in there and "weights" in here
    for name, value in here.items():
        if name in there and there[name] != value and not (by_content and name == "model"):
            return f"{name} is {_short(there[name])} there, not {_short(value)}"
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:80] + "…"
