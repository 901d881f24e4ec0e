"""Attention policies: which cached tokens a decode step reads. One dataclass each."""

from kinetics_jax.spec.policies.base import Dense, Policy
from kinetics_jax.spec.policies.blocks import BlockTopK, Quest, StridedBlockTopK
from kinetics_jax.spec.policies.pages import PageRule
from kinetics_jax.spec.policies.per_layer import PerLayer
from kinetics_jax.spec.policies.text import (
    parse_policy,
    policy_from_dict,
    policy_from_stored,
    policy_to_dict,
)
from kinetics_jax.spec.policies.tokens import RandomSelect, SlidingWindow, TopK
from kinetics_jax.spec.policies.unknown import UnknownPolicy

__all__ = [
    "BlockTopK",
    "Dense",
    "PageRule",
    "PerLayer",
    "Policy",
    "Quest",
    "RandomSelect",
    "SlidingWindow",
    "StridedBlockTopK",
    "TopK",
    "UnknownPolicy",
    "parse_policy",
    "policy_from_dict",
    "policy_from_stored",
    "policy_to_dict",
]
