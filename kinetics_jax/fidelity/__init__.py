"""What a sparse policy costs in fidelity: next-token distributions of the same model, dense and sparse."""

from typing import TYPE_CHECKING

from kinetics_jax import _lazy

if TYPE_CHECKING:
    from kinetics_jax.fidelity.intervals import FidelityRow, summarise
    from kinetics_jax.fidelity.measurement import check, grid, measure
    from kinetics_jax.fidelity.passages import Passage, cut_passages, read_text
    from kinetics_jax.fidelity.records import Fidelity

__all__ = [
    "Fidelity",
    "FidelityRow",
    "Passage",
    "check",
    "cut_passages",
    "grid",
    "measure",
    "read_text",
    "summarise",
]

__getattr__, __dir__ = _lazy.face(
    __name__,
    {
        "Fidelity": "records",
        "FidelityRow": "intervals",
        "Passage": "passages",
        "check": "measurement",
        "cut_passages": "passages",
        "grid": "measurement",
        "measure": "measurement",
        "read_text": "passages",
        "summarise": "intervals",
    },
)
