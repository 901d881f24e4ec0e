"""The paper's experiments on AIME (§4, §5, App. B, C): dense against top-k and block top-k, on its models.

``--config=aime:topk``, ``aime:block_topk`` and ``aime:r1_distill`` are AIME 2024; ``aime:2025_topk`` and
``aime:2025_block_topk`` AIME 2025. Slices are of a host of eight v6e chips: meshes and sequences are those
that the TPU compiler let through for 32,768-token contexts (docs/fit_table.md: compiled for, not run on),
less the two prompt rows of a share; where the table has no such mesh, those that the arrays' sizes leave
room for.
"""

from ml_collections import ConfigDict

from kinetics_jax.errors import UnknownNameError
from kinetics_jax.sweep.options import defaults, key, model, task

CHIP = "tpu_v6e"
CONTEXT, CAP = 32_768, 30_768
"""Tokens of prompt and generation together, and of the latter (docs/paper_facts.md)."""
SLICES = {
    "qwen3-0.6b": {"data": 8, "slots": 5},
    "qwen3-1.7b": {"data": 8, "slots": 4},
    "qwen3-4b": {"data": 2, "model": 4, "slots": 18},
    "qwen3-8b": {"data": 2, "model": 4, "slots": 14},
    "qwen3-14b": {"model": 8, "slots": 28},
    "qwen3-32b": {"model": 8, "slots": 14},
    "qwen3-30b-a3b": {"expert": 2, "model": 4, "slots": 14},
    "r1-distill-qwen-1.5b": {"data": 8, "slots": 22},
    "r1-distill-qwen-7b": {"data": 8, "slots": 4},
    "r1-distill-qwen-14b": {"model": 8, "slots": 24},
    "r1-distill-qwen-32b": {"model": 8, "slots": 14},
}
QWEN3 = tuple(f"Qwen/Qwen3-{size}" for size in ("0.6B", "1.7B", "4B", "8B", "14B", "32B", "30B-A3B"))
R1_DISTILL = tuple(f"deepseek-ai/DeepSeek-R1-Distill-Qwen-{size}" for size in ("1.5B", "7B", "14B", "32B"))
BUDGETS = (128, 256, 512, 1024, 2048)
"""B: tokens of KV that a head reads in a step."""
TOPK = ("dense", *(f"topk(k={budget})" for budget in BUDGETS))
BLOCK_TOPK = ("dense", *(f"block_topk({16384 // budget}, {budget * budget // 16384})" for budget in BUDGETS))
"""Blocks of 16384/B tokens, so that search and attention cost about the same (§4.2)."""
VARIANTS = {
    "topk": ("aime24", QWEN3, TOPK),
    "block_topk": ("aime24", QWEN3, BLOCK_TOPK),
    "r1_distill": ("aime24", R1_DISTILL, TOPK),
    "2025_topk": ("aime25", QWEN3, TOPK),
    "2025_block_topk": ("aime25", QWEN3, BLOCK_TOPK),
}


def get_config(variant: str = "topk") -> ConfigDict:
    """Best-of-N and Long-CoT from the same samples, the latter by cutting them."""
    if variant not in VARIANTS:
        raise UnknownNameError("variant of aime", variant, VARIANTS)
    benchmark, sources, policies = VARIANTS[variant]
    config = defaults()
    config.name = f"aime_{variant}"
    config.policies = policies
    config.tasks[benchmark] = task(benchmark)
    for source in sources:
        name = source.partition("/")[2].lower().removeprefix("deepseek-")
        trials = 8 if name.endswith("-32b") else 0
        config.models[key(name)] = model(name, source, trials=trials, chip=CHIP, **SLICES[name])
    config.trials = 32
    config.max_tokens = CAP
    config.max_context = CONTEXT
    config.lengths = tuple(2048 * step for step in range(1, 16))
    config.expected_tokens = 11_000  # Qwen3-8B on AIME24 has a mean of 10,754 (docs/paper_facts.md)
    config.chip = ("tpu_v6e", "b200", "h200", "tpu7x")
    return config
