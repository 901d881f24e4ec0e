"""AIME 2024 with the DeepSeek-R1 distillations (paper App. B.2)."""

from ml_collections import ConfigDict

from configs import paper_grid


def get_config() -> ConfigDict:
    """Four sizes, dense against top-k."""
    config = paper_grid.get_config()
    config.name = "aime24_r1_distill"
    config.tasks = ("aime24",)
    config.policies = paper_grid.TOPK
    config.models = paper_grid.R1_DISTILL
    return config
