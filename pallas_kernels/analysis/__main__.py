"""``python -m pallas_kernels.analysis``: the table of every op for every chip, in Markdown and JSON.

All figures are the compilers' estimates or modelled from data sheets; nothing is run on a chip.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # before jax: the chips in question are not here

import jax

from kinetics_jax.chips import devices
from pallas_kernels.analysis.errors import CompilerMissingError
from pallas_kernels.analysis.programs import LAYER_PARTS, Shape
from pallas_kernels.analysis.table import Row, compile_rows, gpu_table, notes, share_table, tpu_table

OPS = (*LAYER_PARTS, "layer", "prefix_attention")
SOURCE = "Rates: data sheets, as in kinetics_jax/chips/chips.toml; the clock of a TPU is indicative only"


def main(arguments: list[str] | None = None) -> int:
    """Compile, print and write; 1 when a compiler refused a program, 2 when no compiler was found."""
    options = _parser().parse_args(arguments)
    rows: list[Row] = []
    for chip in options.chips:
        shapes = [
            Shape(batch=batch, context=options.context, budget=options.budget, page_size=page_size)
            for batch in options.batch
            for page_size in options.page_sizes
        ]
        try:
            rows += compile_rows(chip, shapes, options.ops)
        except CompilerMissingError as error:
            print(f"{chip}: skipped. {error}", file=sys.stderr)
    if not rows:
        return 2
    print(_text(rows))
    if options.json:
        options.json.write_text(json.dumps(_document(rows), indent=1) + "\n")
        print(f"wrote {options.json}", file=sys.stderr)
    return int(any(row.error for row in rows))


def _parser() -> argparse.ArgumentParser:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    def names(known: tuple[str, ...]) -> type:
        def parse(text: str) -> list[str]:
            chosen = text.split(",")
            if unknown := set(chosen) - set(known):
                raise argparse.ArgumentTypeError(f"unknown {unknown}; known: {', '.join(known)}")
            return chosen

        return parse  # type: ignore[return-value]

    parser = argparse.ArgumentParser(prog="python -m pallas_kernels.analysis", description=__doc__)
    parser.add_argument("--chips", type=names(tuple(devices())), default=list(devices()))
    parser.add_argument("--ops", type=names(OPS), default=list(OPS))
    parser.add_argument("--batch", type=numbers, default=[8, 64])
    parser.add_argument("--page-sizes", type=numbers, default=[16, 32, 64, 128])
    parser.add_argument("--context", type=int, default=32_768, help="tokens of a sequence")
    parser.add_argument("--budget", type=int, default=1_024, help="tokens read of each sequence")
    parser.add_argument("--json", type=Path, help="where to write every report")
    return parser


def _text(rows: list[Row]) -> str:
    tpu = [row for row in rows if row.report and devices()[row.report.chip].platform == "tpu"]
    gpu = [row for row in rows if row.report and devices()[row.report.chip].platform == "cuda"]
    refused = [f"refused: {row.op} {row.shape}: {row.error}" for row in rows if row.error]
    compilers = sorted({row.report.compiler for row in rows if row.report})
    parts = ["Compiler estimates, not measurements. " + "; ".join(compilers), f"{SOURCE}."]
    if tpu:
        parts += [tpu_table(tpu), share_table(tpu), notes(tpu)]
    if gpu:
        parts += [gpu_table(gpu)]
    return "\n\n".join([*parts, *refused])


def _document(rows: list[Row]) -> dict[str, object]:
    return {
        "what": "compiler estimates and data-sheet models; nothing was run on a chip",
        "jax": jax.__version__,
        "source": SOURCE,
        "rows": [row.to_json() for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
