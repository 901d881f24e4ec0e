"""Prices held against silicon: constants fitted to public kernel timings, and how far predictions are off."""

from kinetics_jax.calibration.deployments import Deployed, read_deployments
from kinetics_jax.calibration.fit import as_toml, fit_all
from kinetics_jax.calibration.validate import Accuracy, accuracy, all_pairs, by_group, evidence_toml

__all__ = [
    "Accuracy",
    "Deployed",
    "accuracy",
    "all_pairs",
    "as_toml",
    "by_group",
    "evidence_toml",
    "fit_all",
    "read_deployments",
]
