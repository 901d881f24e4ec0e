"""LiveCodeBench v5 with the paper's models (App. C): ``--config=livecodebench:topk`` or ``:block_topk``."""

from ml_collections import ConfigDict

from kinetics_jax.commands.configs import load_config
from kinetics_jax.sweep.options import task


def get_config(variant: str = "topk") -> ConfigDict:
    """All Qwen3 sizes and 30B-A3B; the cap is the reference's for programs."""
    config = load_config(f"aime:{variant}")
    config.name = f"livecodebench_{variant}"
    config.tasks = {"livecodebench_v5": task("livecodebench_v5")}
    config.max_tokens = 30_500
    config.lengths = ()  # a program cut short does not run: cutting is the laws' own rule
    return config
