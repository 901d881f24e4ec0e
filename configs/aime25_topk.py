"""AIME 2025, dense against top-k (paper App. C): Best-of-N and Long-CoT."""

from ml_collections import ConfigDict

from configs import paper_grid


def get_config() -> ConfigDict:
    """All Qwen3 sizes and 30B-A3B, budgets 128 to 2,048."""
    config = paper_grid.get_config()
    config.name = "aime25_topk"
    config.tasks = ("aime25",)
    config.policies = paper_grid.TOPK
    return config
