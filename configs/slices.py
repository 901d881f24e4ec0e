"""TPU slices for the paper's models: how each lies on a host of eight v6e chips, and how many samples run.

Meshes and sequences are those that the TPU compiler let through for 32,768-token contexts (docs/fit_table.md:
compiled for, not run on), less the two prompt rows of a share; where the table has no such mesh, those that
the arrays' sizes leave room for. ``tests/sweep/test_configs.py`` holds them to the plan's own count.
"""

CHIP = "tpu_v6e"
CONTEXT = 32_768
"""Prompt and generation together (docs/paper_facts.md, "Sampling")."""

_SLICES = {
    "qwen3-0.6b": "data=8 slots=5",
    "qwen3-1.7b": "data=8 slots=4",
    "qwen3-4b": "data=2 model=4 slots=18",
    "qwen3-8b": "data=2 model=4 slots=14",
    "qwen3-14b": "model=8 slots=28",
    "qwen3-32b": "model=8 slots=14",
    "qwen3-30b-a3b": "expert=2 model=4 slots=14",
    "r1-distill-qwen-1.5b": "data=8 slots=22",
    "r1-distill-qwen-7b": "data=8 slots=4",
    "r1-distill-qwen-14b": "model=8 slots=24",
    "r1-distill-qwen-32b": "model=8 slots=14",
}


def slices(*models: str) -> tuple[str, ...]:
    """The ``slices`` option for these models; without names, for all of them."""
    return tuple(f"{name}={CHIP} {_SLICES[name]}" for name in models or _SLICES)
