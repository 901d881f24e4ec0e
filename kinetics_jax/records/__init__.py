"""What both halves of the house speak: problems, how they are sampled, and samples as lines of JSON."""

from kinetics_jax.errors import InputError, KineticsError, UnknownNameError
from kinetics_jax.records.deployment import RecordedDeployment
from kinetics_jax.records.problem import Problem
from kinetics_jax.records.repetition import RepetitionRule
from kinetics_jax.records.sample import Sample, SampleKey
from kinetics_jax.records.sample_record import SampleRecord
from kinetics_jax.records.sampling import SamplingParams
from kinetics_jax.records.thinking import ThinkingBudget

__all__ = [
    "InputError",
    "KineticsError",
    "Problem",
    "RecordedDeployment",
    "RepetitionRule",
    "Sample",
    "SampleKey",
    "SampleRecord",
    "SamplingParams",
    "ThinkingBudget",
    "UnknownNameError",
]
