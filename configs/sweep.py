"""Options of ``experiments.sweep`` as one object, with a sweep of tiny models that runs anywhere."""

from ml_collections import ConfigDict

from kinetics_jax.commands.configs import Config
from kinetics_jax.sweep import options


def get_config() -> ConfigDict:
    """Two tiny random models on real GSM8K questions: what a sweep does, not what a model knows."""
    config = get_defaults()
    config.name = "tiny"
    config.models = ("tiny-dense=random", "tiny-moe=random")
    config.policies = ("dense", "block_topk(16, 4)")
    config.tasks = ("gsm8k",)
    config.limit = 12
    config.trials = 4
    config.max_tokens = 64
    config.bootstrap = 100
    return config


def get_defaults() -> ConfigDict:
    """Every option with its default: what other configs start from."""
    return Config({name: option.default for name, option in options.OPTIONS.items()})
