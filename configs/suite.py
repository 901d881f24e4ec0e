"""The built-in suite: three tiny models that the package ships, decoded for real on a CPU in minutes.

Problems, samples and resamples follow ``seed``: another seed is another set of all three.
"""

from ml_collections import ConfigDict

from kinetics_jax.sweep.options import defaults, key, model, task


def get_config() -> ConfigDict:
    """Register machines with traces of 384 to 1,920 tokens: dense, sparse and a trivial baseline."""
    config = defaults()
    config.name = "suite"
    for size in ("xs", "s", "m"):  # with as many samples each: sizes are compared at N that all have
        name = f"registers-{size}"
        config.models[key(name)] = model(name, "shipped", chip="b200", slots=64)
    config.policies = (
        "dense",
        "quest(8, 32, dense_layers=0)",
        "sliding_window(256, sink=136, dense_layers=0)",  # the whole prompt and a window, no choice
    )
    config.tasks.registers = task("registers", seed=config.get_ref("seed"))
    config.limit = 200
    config.trials = 4
    config.temperature = 1.0
    config.top_p = 1.0
    config.top_k = 0
    config.max_context = 2112
    config.expected_tokens = 960
    config.repetition = False  # a machine's trace does repeat
    config.unroll = True
    config.bootstrap = 300
    return config
