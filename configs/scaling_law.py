"""Options of the main job as one object: what ``--config`` files return and flags override."""

from ml_collections import ConfigDict

from kinetics_jax.commands.configs import Config


def get_config() -> ConfigDict:
    """The defaults of ``python -m experiments.scaling_law``."""
    return Config(
        {
            "traces": (),  # files of samples; none: those of the built-in suite, decoded now
            "decode": True,  # False with no traces: only what needs no accuracy
            "chip": ("b200",),  # names of kinetics_jax.costs.chips, or chip files (.toml)
            "out": "results/scaling_law",
            "cost_mode": "exact",  # exact | paper | reference
            "overlap": "sum",  # sum | max | roofline
            "frontier": "both",  # paper | held_out | both
            "search": "both",  # best_of_n | long_cot | both | grid
            "bootstrap": 1000,  # resamples of the questions
            "splits": 5,  # random halves of the held-out rule
            "seed": 0,
            "project_policy": "block_topk(16, 64)",  # "" for none
            "datasets": "",  # regular expression; "" takes all
            "models": "",  # regular expression; "" takes all
            "min_questions": 10,
            "default_prompt_tokens": 200,
            "tokenizer": "",  # tokenizer.json, to count the tokens of Kinetics generations
            "trace_model": "",  # model of Kinetics generations whose metadata does not name it
            "trace_dataset": "",  # data set of the same
            "jobs": 0,  # processes; 0 is one a core
        }
    )
