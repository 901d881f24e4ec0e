"""The recipe as data: model sizes, the stages, and the losses that open the gates between them."""

import dataclasses

from kinetics_jax.errors import InputError, UnknownNameError
from kinetics_jax.shapes import ModelConfig
from kinetics_jax.tasks.registers import END, VOCABULARY

MAX_CONTEXT = 4096


def _size(name: str, model_dim: int, ffn_dim: int, query_heads: int, kv_heads: int) -> ModelConfig:
    return ModelConfig(
        name=f"registers-{name}",
        vocab_size=VOCABULARY,
        model_dim=model_dim,
        ffn_dim=ffn_dim,
        num_layers=2,
        num_query_heads=query_heads,
        num_kv_heads=kv_heads,
        head_dim=64,
        tied_embeddings=True,
        rope_theta=1_000_000.0,
        max_context=MAX_CONTEXT,
        eos_token_ids=(END,),
        pad_token_id=END,
    )


SIZES = {"xs": _size("xs", 48, 96, 2, 1), "s": _size("s", 64, 128, 2, 1), "m": _size("m", 96, 256, 4, 2)}
"""Shapes by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """Steps on one mix of rows. It ends at ``steps`` at the latest, or when its gate opens."""

    name: str
    rows: tuple[tuple[str, int], ...]
    """Kinds of rows, of ``Recipe``'s five, and every how many steps each joins the batch."""
    steps: int
    learning_rate: tuple[float, float]
    """At the first and the last step, linear in between."""
    gate: tuple[tuple[str, float], ...] = ()
    """(loss, nats) that must all be undercut, as means over ``Recipe.window`` steps."""
    scaffold: bool = False
    must_pass: bool = False
    """Whether reaching ``steps`` with the gate shut is a failure of the run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """All of training but the size and the seed."""

    stages: tuple[Stage, ...]
    window: int = 100
    """Steps between two looks at the gates; checkpoints are written there."""
    ramp_steps: int = 50
    """Steps over which the learning rate rises at the start."""
    clip_norm: float = 1.0
    adam_share: float = 0.3
    """Learning rate of norms and gains (Adam) as a share of the matrices' (Muon)."""
    look_up: tuple[int, int, int] = (8, 12, 12)
    """Rows, keys and reads of look-up rows."""
    short: tuple[int, int] = (16, 16)
    """Rows and steps of short rows."""
    rounds: tuple[int, int] = (2, 32)
    """Rows and steps of round rows."""
    long: tuple[int, int, int] = (1, 1024, 512)
    """Rows, tokens and learnt tokens of long rows."""
    full: tuple[int, int, int] = (1, 2048, 1024)
    """The same at the longest context."""
    pool: tuple[int, int, int] = (1024, 480, 64)
    """Machines of a pool of traces, their steps, and the training steps that it serves."""

    def __post_init__(self) -> None:
        steps = [stage.steps for stage in self.stages]
        if not steps or self.window < 1 or min(steps) < 1 or any(n % self.window for n in steps):
            raise InputError(f"a recipe needs stages of whole windows of {self.window} steps; got {steps}")
        known = ("look_up", "short", "rounds", "long", "full")
        for name, every in (pair for stage in self.stages for pair in stage.rows):
            if name not in known:
                raise UnknownNameError("kind of rows", name, known)
            if not 1 <= every <= self.window:
                raise InputError(f"rows {name}: every={every} must be in 1…{self.window} (window)")


_HIGH, _MIDDLE, _LOW = 0.02, 0.005, 0.0005

RECIPE = Recipe(
    stages=(
        Stage(
            name="warm-up",
            rows=(("short", 1), ("look_up", 1)),
            steps=4000,
            learning_rate=(_HIGH, _HIGH),
            gate=(("short/write_address", 0.2), ("short/read_address", 0.2), ("look_up/value_read", 0.3)),
            scaffold=True,
            must_pass=True,
        ),
        Stage(
            name="facts",
            rows=(("short", 1), ("rounds", 1)),
            steps=6000,
            learning_rate=(_HIGH, _HIGH),
            gate=(("short/value_written", 0.5), ("rounds/value_read", 0.5)),
            must_pass=True,
        ),
        Stage(
            name="decay",
            rows=(("short", 1), ("rounds", 1), ("long", 4)),
            steps=1200,
            learning_rate=(_HIGH, _MIDDLE),
        ),
        Stage(name="long", rows=(("short", 1), ("long", 1)), steps=600, learning_rate=(_MIDDLE, _LOW)),
        Stage(name="full", rows=(("full", 1),), steps=100, learning_rate=(_LOW, _LOW / 10)),
    )
)
"""What the shipped models were trained with."""

SMOKE = Recipe(
    stages=(
        Stage(
            name="warm-up",
            rows=(("short", 1), ("look_up", 1)),
            steps=40,
            learning_rate=(_HIGH, _HIGH),
            scaffold=True,
        ),
        Stage(
            name="decay",
            rows=(("short", 1), ("rounds", 1), ("long", 10)),
            steps=20,
            learning_rate=(_HIGH, _LOW),
        ),
        Stage(name="long", rows=(("short", 1), ("long", 1)), steps=10, learning_rate=(_LOW, _LOW)),
        Stage(name="full", rows=(("full", 1),), steps=10, learning_rate=(_LOW, _LOW)),
    ),
    window=10,
    ramp_steps=10,
    look_up=(4, 4, 8),
    short=(8, 8),
    rounds=(1, 16),
    long=(1, 320, 128),
    full=(1, 400, 128),
    pool=(128, 128, 32),
)
"""The same stages in seconds: too short to learn the task, long enough to see the loss fall."""
