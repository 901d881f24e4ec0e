"""The ground floor: what both halves of the house speak. No JAX, no state, no seconds, no dollars."""

from kinetics_jax.spec.errors import InputError, KineticsError, UnknownNameError
from kinetics_jax.spec.model_config import Llama3Rope, ModelConfig, MoE, Yarn
from kinetics_jax.spec.policies import (
    BlockTopK,
    Dense,
    PageRule,
    PerLayer,
    Policy,
    Quest,
    RandomSelect,
    SlidingWindow,
    StridedBlockTopK,
    TopK,
    parse_policy,
    policy_from_dict,
    policy_to_dict,
)
from kinetics_jax.spec.presets import presets
from kinetics_jax.spec.problem import Problem
from kinetics_jax.spec.records import SampleRecord
from kinetics_jax.spec.repetition import RepetitionRule
from kinetics_jax.spec.sample import Sample
from kinetics_jax.spec.sampling import SamplingParams
from kinetics_jax.spec.thinking import ThinkingBudget

__all__ = [
    "BlockTopK",
    "Dense",
    "InputError",
    "KineticsError",
    "Llama3Rope",
    "MoE",
    "ModelConfig",
    "PageRule",
    "PerLayer",
    "Policy",
    "Problem",
    "Quest",
    "RandomSelect",
    "RepetitionRule",
    "Sample",
    "SampleRecord",
    "SamplingParams",
    "SlidingWindow",
    "StridedBlockTopK",
    "ThinkingBudget",
    "TopK",
    "UnknownNameError",
    "Yarn",
    "parse_policy",
    "policy_from_dict",
    "policy_to_dict",
    "presets",
]
