"""Attention policies: which cached tokens a decode step reads. One dataclass each."""

from kinetics_jax.policies.base import Dense, Policy, fields_that_say, registry
from kinetics_jax.policies.blocks import BlockTopK, Quest, StridedBlockTopK
from kinetics_jax.policies.pages import PageRule
from kinetics_jax.policies.per_layer import PerLayer
from kinetics_jax.policies.sparse import SparsePolicy
from kinetics_jax.policies.text import (
    find_policy,
    parse_policy,
    policy_from_dict,
    policy_from_stored,
    policy_to_dict,
    policy_to_stored,
)
from kinetics_jax.policies.tokens import RandomSelect, SlidingWindow, TopK
from kinetics_jax.policies.unknown import UnknownPolicy

__all__ = [
    "BlockTopK",
    "Dense",
    "PageRule",
    "PerLayer",
    "Policy",
    "Quest",
    "RandomSelect",
    "SlidingWindow",
    "SparsePolicy",
    "StridedBlockTopK",
    "TopK",
    "UnknownPolicy",
    "fields_that_say",
    "find_policy",
    "parse_policy",
    "policy_from_dict",
    "policy_from_stored",
    "policy_to_dict",
    "policy_to_stored",
    "registry",
]
