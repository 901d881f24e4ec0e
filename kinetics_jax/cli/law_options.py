"""Options of ``kinetics law``: the table that its flags, its configs and its defaults are made from."""

from ml_collections import ConfigDict

from kinetics_jax.commands.configs import Config
from kinetics_jax.commands.deployment_options import CHIP_PRICE, DEPLOYMENT, PRICES, SENSITIVITY, Option
from kinetics_jax.scaling.law.options import VERIFIERS

OPTIONS = {
    "traces": Option((), "Files of samples: sample records, trials CSV(.gz), or Kinetics generations."),
    "decode": Option(True, "Without traces, decode the built-in suite; else only what needs none."),
    "chip": Option(("b200",), "Chips to price on: names of kinetics_jax.chips, or chip files (.toml)."),
    "out": Option("results/scaling_law", "Folder to write; an earlier result there is replaced as a whole."),
    "cost_mode": Option("exact", "exact | paper | reference: see kinetics_jax.costs.price."),
    "overlap": Option("sum", "sum | max | roofline: how compute and memory time combine."),
    **PRICES,
    **DEPLOYMENT,
    **CHIP_PRICE,
    **SENSITIVITY,
    "frontier": Option("both", "paper | held_out | both: how the best configuration is chosen."),
    "search": Option("both", "best_of_n | long_cot | both | grid: which configurations are searched."),
    "bootstrap": Option(1000, "Resamples of the questions."),
    "splits": Option(5, "Random halves of the held-out rule."),
    "seed": Option(0, "Seed of resamples and splits."),
    "verifiers": Option(
        VERIFIERS, "Who picks one of N answers: perfect, majority, roc(TPR,FPR,cost=SHARE or reader=MODEL)."
    ),
    "project_policy": Option(
        "block_topk(16, 64)", "Sparse policy to project traces without sparse ones with; '' for none."
    ),
    "datasets": Option("", "Regular expression of data sets to take; '' takes all."),
    "models": Option("", "Regular expression of models to take; '' takes all."),
    "min_questions": Option(10, "Families with fewer common questions are left out."),
    "default_prompt_tokens": Option(200, "Prompt length of rows that record none."),
    "tokenizer": Option("", "tokenizer.json, to count the tokens of Kinetics generations."),
    "trace_model": Option("", "Model of Kinetics generations whose metadata does not name it."),
    "trace_dataset": Option("", "Data set of Kinetics generations whose metadata does not name it."),
    "jobs": Option(0, "Processes; 0 is one a core."),
}
"""Every option, so that none can be set and not read."""


def defaults() -> ConfigDict:
    """Every option with its default: what configs start from."""
    return Config({name: option.default for name, option in OPTIONS.items()})
