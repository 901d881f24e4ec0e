"""Two tiny random models on real GSM8K questions: what a sweep does, not what a model knows."""

from ml_collections import ConfigDict

from kinetics_jax.sweep.options import defaults, key, model, task


def get_config() -> ConfigDict:
    """Dense and block top-k, twelve problems; runs anywhere."""
    config = defaults()
    config.name = "tiny"
    for name in ("tiny-dense", "tiny-moe"):
        config.models[key(name)] = model(name, "random")
    config.policies = ("dense", "block_topk(16, 4)")
    config.tasks.gsm8k = task("gsm8k")
    config.limit = 12
    config.trials = 4
    config.max_tokens = 64
    config.bootstrap = 100
    return config
