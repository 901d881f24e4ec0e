"""What a sample costs: FLOPs, bytes, eFLOPs, chip-seconds and dollars. NumPy only."""

from kinetics_jax.chips.chip import Chip, chips, get_chip
from kinetics_jax.costs.break_even import break_even
from kinetics_jax.costs.cost import OVERLAPS, CalibratedCost, Cost, Term, Timed
from kinetics_jax.costs.deployment import Deployment, Requests, cheapest_deployment, deployed
from kinetics_jax.costs.efficiency import kernel_efficiency, kernel_seconds
from kinetics_jax.costs.evidence import Calibration
from kinetics_jax.costs.how_far_off import PriceEvidence, price_evidence
from kinetics_jax.costs.latency import latency
from kinetics_jax.costs.price import MODES, price
from kinetics_jax.costs.serving import Serving, chips_per_copy, feasible_batch
from kinetics_jax.costs.trajectory import Trajectory, continuous_batching, price_along

__all__ = [
    "MODES",
    "OVERLAPS",
    "CalibratedCost",
    "Calibration",
    "Chip",
    "Cost",
    "Deployment",
    "PriceEvidence",
    "Requests",
    "Serving",
    "Term",
    "Timed",
    "Trajectory",
    "break_even",
    "cheapest_deployment",
    "chips",
    "chips_per_copy",
    "continuous_batching",
    "deployed",
    "feasible_batch",
    "get_chip",
    "kernel_efficiency",
    "kernel_seconds",
    "latency",
    "price",
    "price_along",
    "price_evidence",
]
