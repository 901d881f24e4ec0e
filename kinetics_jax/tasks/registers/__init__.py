"""The built-in suite: traces of a register machine whose memory lives in the trace itself. No JAX."""

from kinetics_jax.tasks.registers.grading import grade
from kinetics_jax.tasks.registers.machine import PROMPT_TOKENS, TOKENS_PER_STEP, Machine, Traces
from kinetics_jax.tasks.registers.problems import SPLITS, draw_memories, make_problems
from kinetics_jax.tasks.registers.shipped import shipped_models
from kinetics_jax.tasks.registers.symbols import (
    BANKS,
    BEGIN,
    END,
    HALT,
    REGISTERS,
    VOCABULARY,
    address,
    read_text,
    value,
    write_text,
)

__all__ = [
    "BANKS",
    "BEGIN",
    "END",
    "HALT",
    "PROMPT_TOKENS",
    "REGISTERS",
    "SPLITS",
    "TOKENS_PER_STEP",
    "VOCABULARY",
    "Machine",
    "Traces",
    "address",
    "draw_memories",
    "grade",
    "make_problems",
    "read_text",
    "shipped_models",
    "value",
    "write_text",
]
