"""Write the golden files: ``python -m tests.models.golden.write`` (needs torch and transformers).

Each variant is a folder: the checkpoint as transformers wrote it, prompts, and its float32 logits.
"""

import pathlib

import numpy as np
import torch

from tests.models import oracle

HERE = pathlib.Path(__file__).parent
SMALL = {
    "vocab_size": 40,
    "hidden_size": 24,
    "intermediate_size": 32,
    "moe_intermediate_size": 12,
    "head_dim": 8,
}
VARIANTS = ("ratio2-tied", "ratio8-bias", "yarn", "qwen2", "moe-2of4", "moe-2of4-raw", "llama3")


def main() -> None:
    """Write every golden variant; weights are bfloat16, logits of the same weights in float32."""
    for number, variant in enumerate(VARIANTS):
        family = oracle.VARIANTS[variant][0]
        known = oracle._CLASSES[family][0]().to_dict().keys() | {"head_dim"}
        shape = {name: size for name, size in SMALL.items() if name in known}
        if family == "qwen2":
            del shape["head_dim"]
        oracle.build(variant, seed=number, **shape).to(torch.bfloat16).save_pretrained(HERE / variant)
        model = oracle.read(variant, HERE / variant, torch.float32)
        tokens = np.random.default_rng(number).integers(0, 40, (2, 90))
        found = oracle.logits(model, tokens)
        kept = found[:, ::15]  # every 15th position sees all the mistakes and takes little room
        np.savez_compressed(HERE / variant / "golden.npz", tokens=tokens.astype(np.uint8), logits=kept)


if __name__ == "__main__":
    main()
