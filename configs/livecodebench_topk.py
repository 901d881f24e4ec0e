"""LiveCodeBench v5, dense against top-k (paper App. C)."""

from ml_collections import ConfigDict

from configs import paper_grid


def get_config() -> ConfigDict:
    """All Qwen3 sizes and 30B-A3B; the cap is the reference's for programs."""
    config = paper_grid.get_config()
    config.name = "livecodebench_topk"
    config.tasks = ("livecodebench_v5",)
    config.policies = paper_grid.TOPK
    config.max_tokens = 30_500
    config.lengths = ()  # a program cut short does not run: cutting is the laws' own rule
    return config
