"""Prices, samples and a law of fixed inputs as plain data; ``python -m tests.golden.make`` writes them anew.

They were written before the rooms were laid out anew, and hold every later move to the same bits.
"""

import csv
import hashlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
CHIPS = (
    *("a100", "b200", "b300", "gb200", "h100", "h200", "mi300x", "mi325x", "mi355x"),
    *("tpu7x", "tpu_v4", "tpu_v5e", "tpu_v5p", "tpu_v6e"),
)
"""The table's when prices were stored: a chip that came later has no former price to keep."""
_OF_PRICES = ("price_evidence", "price_moves", "break_even", "break_even_units")
"""What a law has besides since prices were held against measurements; tests/report holds it."""


def prices() -> dict[str, Any]:
    """Mode, chip, model, policy → seconds, dollars and terms as hexadecimal floats."""
    from kinetics_jax.costs import price
    from kinetics_jax.errors import InputError
    from kinetics_jax.policies import parse_policy

    policies = ("dense", "topk(k=512)", "block_topk(16, 64)", "quest(16, 32)", "sliding_window(1024)")
    models = ("qwen3-0.6b", "qwen3-8b", "qwen3-30b-a3b", "r1-distill-qwen-7b", "registers-s")
    prompts, lengths = np.array([[37], [800]]), np.array([1, 511, 8192, 30_000])
    found = {}
    for mode, chip, model, policy in itertools.product(
        ("exact", "paper", "reference"), CHIPS, models, policies
    ):
        try:
            cost = price(model, parse_policy(policy), prompts, lengths, 8, chip=chip, mode=mode)
            arrays = [
                cost.seconds,
                cost.eflops,
                *(t.flops for t in cost.terms.values()),
                *(t.bytes for t in cost.terms.values()),
            ]
            text = " ".join(f"{v.hex()}" for a in arrays for v in np.ravel(np.float64(a)).tolist())
        except InputError as error:
            text = type(error).__name__
        found[f"{mode} {chip} {model} {policy}"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    return found


def samples() -> dict[str, Any]:
    """Policy → tokens of the shipped xs model on four problems, sampled at temperature 1."""
    import jax

    from kinetics_jax import Engine, models, tasks
    from kinetics_jax.policies import parse_policy
    from kinetics_jax.records import SamplingParams
    from kinetics_jax.tasks.registers.shipped import shipped_models

    model = models.load(shipped_models()["xs"], dtype="float32")
    problems = list(tasks.load("registers", limit=4, seed=0).problems)
    found = {}
    for text in ("dense", "quest(8, 16, dense_layers=0)", "block_topk(8, 16)", "sliding_window(64, sink=16)"):
        engine = Engine(model, policy=parse_policy(text), slots=4, max_context=640, page_size=8)
        drawn = engine.generate(problems, n=2, max_tokens=96, sampling=SamplingParams(seed=3))
        found[text] = {
            f"{s.problem_id} {s.trial}": [s.finish_reason, *s.tokens]
            for s in sorted(drawn, key=lambda s: s.key)
        }
        del engine
    jax.clear_caches()
    return found


def traces() -> str:
    """A trials table of three sizes, dense and sparse, with accuracies that grow with length."""
    rng = np.random.default_rng(5)
    table = io.StringIO()
    out = csv.writer(table, lineterminator="\n")
    out.writerow(
        [
            "source",
            "model",
            "dataset",
            "problem_id",
            "trial",
            "prompt_tokens",
            "gen_tokens",
            "correct",
            "max_tokens",
            "policy",
        ]
    )
    hard = rng.beta(1.2, 1.4, 24)
    for m, (model, skill) in enumerate((("qwen3-0.6b", 0.2), ("qwen3-4b", 0.5), ("qwen3-14b", 0.8))):
        for policy in ("dense", "block_topk(16, 64)"):
            for question, trial in itertools.product(range(24), range(8)):
                tokens = int(min(8192, rng.lognormal(8.0 + hard[question] / 2 - m / 9, 0.5)))
                right = tokens < 8192 and rng.random() < skill ** (0.3 + 2 * hard[question])
                out.writerow(
                    [
                        "made up",
                        model,
                        "aime",
                        question,
                        trial,
                        90 + question,
                        tokens,
                        int(right),
                        8192,
                        policy,
                    ]
                )
    return table.getvalue()


def law(folder: Path) -> dict[str, Any]:
    """``law.json`` of those traces on two chips without what names a version, and the words of it."""
    from kinetics_jax.costs import get_chip
    from kinetics_jax.report import write_results
    from kinetics_jax.scaling import read_trials
    from kinetics_jax.scaling.law.all_laws import find_results
    from kinetics_jax.scaling.law.one_law import LawOptions

    path = folder / "traces.csv"
    path.write_text(traces())
    options = LawOptions(bootstrap=40, splits=2, seed=0)
    results = find_results(
        read_trials([str(path)]), [get_chip("b200"), get_chip("tpu_v6e")], options, min_questions=5
    )
    write_results(results, folder / "out")
    document = json.loads((folder / "out" / "law.json").read_text())
    for name in ("versions", "inputs", "files", *_OF_PRICES):
        del document[name]
    for found in document["laws"]:
        assert (found.pop("measure"), found.pop("prices")) == ("eflops", "data_sheet")
        del found["price_evidence"]  # changes with what prices are held against
    return document


def write() -> None:
    """Write the golden files beside this one."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found = {"prices": prices(), "samples": samples(), "law": law(Path(folder))}
    for name, value in found.items():
        (HERE / f"{name}.json").write_text(json.dumps(value, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    write()
