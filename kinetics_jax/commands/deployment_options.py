"""Options that say what prices assume of a deployment: the same words in every command that prices."""

from typing import Any, NamedTuple


class Option(NamedTuple):
    """One option: what it is unless given, and what it means."""

    default: Any
    """An empty text or 0 means: not given."""
    help: str


DEPLOYMENT = {
    "deployment": Option(
        "cheapest", "cheapest | as_run | fewest_chips: who chooses what is not given below."
    ),
    "tensor_parallel": Option(0, "Chips of a copy of a model; 0: chosen."),
    "batch": Option(0.0, "Sequences decoded together; 0: what fits."),
    "occupancy": Option(0.0, "Share of the batch that fits that is decoded together; 0: all of it."),
    "weight_dtype": Option(
        "", "Of weights: bfloat16 | fp8 | int8 | int4 | fp4 | nvfp4 | mxfp4; '': bfloat16, or as run."
    ),
    "kv_dtype": Option("", "Of keys and values, the same words; '': bfloat16, or as run."),
    "compute_dtype": Option(
        "", "Of the matmuls' operands, not int4, which is stored only; '': bfloat16, or as run."
    ),
    "share_prefix": Option(True, "Samples of a prompt read its KV once."),
}
"""By name; each is a field of ``scaling.LawOptions``."""
PRICES = {
    "measure": Option(
        "", "eflops | seconds | dollars | latency: the law's x-axis; '': eflops, or seconds if calibrated."
    ),
    "prices": Option(
        "data_sheet", "data_sheet | calibrated | both: whose seconds; both: a law of each, side by side."
    ),
}
"""What a law counts costs in, and by whose prices; each is a field of ``scaling.LawOptions``."""
CHIP_PRICE = {
    "price_basis": Option("list", "list | specialty | spot: the market that dollars are of."),
    "usd_per_hour": Option(0.0, "Your price of a chip-hour of the one chip; 0: that of price_basis."),
}
SENSITIVITY = {
    "sensitivity": Option(False, "Also say which sentences survive other deployments (takes longer).")
}
