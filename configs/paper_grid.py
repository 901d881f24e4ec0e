"""What the paper's experiments share (App. D.2; docs/paper_facts.md, "Grids")."""

from ml_collections import ConfigDict

from configs import slices
from configs.sweep import get_defaults

QWEN3 = tuple(
    f"qwen3-{size.lower()}=Qwen/Qwen3-{size}"
    for size in ("0.6B", "1.7B", "4B", "8B", "14B", "32B", "30B-A3B")
)
R1_DISTILL = tuple(
    f"r1-distill-qwen-{size.lower()}=deepseek-ai/DeepSeek-R1-Distill-Qwen-{size}"
    for size in ("1.5B", "7B", "14B", "32B")
)
BUDGETS = (128, 256, 512, 1024, 2048)
"""B: tokens of KV that a head reads in a step."""
TOPK = ("dense", *(f"topk(k={budget})" for budget in BUDGETS))
BLOCK_TOPK = ("dense", *(f"block_topk({16384 // budget}, {budget * budget // 16384})" for budget in BUDGETS))
"""BS = 16384/B, so that search and attention cost about the same (§4.2)."""
CAP = 30_768


def get_config() -> ConfigDict:
    """The common part: Best-of-N and Long-CoT from the same samples, the latter by cutting them.

    Without a task; ``configs/aime24_topk.py`` and its like add one.
    """
    config = get_defaults()
    config.models = QWEN3
    config.trials = 32
    config.trials_of = ("qwen3-32b=8", "r1-distill-qwen-32b=8")
    config.max_tokens = CAP
    config.max_context = slices.CONTEXT
    config.lengths = tuple(2048 * step for step in range(1, 16))
    config.expected_tokens = 11_000  # docs/paper_facts.md, "Anchors": Qwen3-8B on AIME24 has a mean of 10,754
    config.slices = slices.slices()
    config.chip = ("tpu_v6e", "b200", "h200", "tpu7x")
    return config
