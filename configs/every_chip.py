"""The same law on every chip of the table, by held-out choice only."""

from ml_collections import ConfigDict

from configs import scaling_law


def get_config() -> ConfigDict:
    """``scaling_law`` with all chips and one frontier flavour."""
    config = scaling_law.get_config()
    config.chip = (
        "b200",
        "h200",
        "h100",
        "a100",
        "tpu_v4",
        "tpu_v5e",
        "tpu_v5p",
        "tpu_v6e",
        "tpu7x",
        "mi300x",
        "mi355x",
    )
    config.frontier = "held_out"
    config.bootstrap = 200
    config.out = "results/every_chip"
    return config
