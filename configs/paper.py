"""The paper's own accounting: its equations as printed, its rule of choosing, B200 seconds."""

from ml_collections import ConfigDict

from configs import scaling_law


def get_config() -> ConfigDict:
    """``scaling_law`` in the paper's cost mode with the paper's frontier."""
    config = scaling_law.get_config()
    config.cost_mode = "paper"
    config.frontier = "paper"
    config.out = "results/paper"
    return config
