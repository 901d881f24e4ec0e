"""The main job, and two other readings of the same traces: ``--config=law:paper`` and ``law:every_chip``."""

from ml_collections import ConfigDict

from kinetics_jax.cli.law_options import defaults
from kinetics_jax.errors import UnknownNameError

VARIANTS = {
    "": {},
    # The paper's own accounting: its equations as printed, its rule of choosing.
    "paper": {"cost_mode": "paper", "frontier": "paper", "out": "results/paper"},
    "every_chip": {
        "chip": tuple(
            [
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
            ]
        ),
        "frontier": "held_out",
        "bootstrap": 200,
        "out": "results/every_chip",
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """The defaults of ``kinetics law``, with what the variant changes."""
    if variant not in VARIANTS:
        raise UnknownNameError("variant of law", variant, VARIANTS)
    config = defaults()
    config.update(VARIANTS[variant])
    return config
