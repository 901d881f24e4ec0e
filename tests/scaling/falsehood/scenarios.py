"""Worlds in which claims are true, false or cannot be decided, and designs that look at them."""

import dataclasses

from kinetics_jax.policies import BlockTopK, Policy
from tests.scaling.falsehood.population import Side

SPARSE = BlockTopK(16, 16)
"""256 tokens of some thousands."""
NARROW = BlockTopK(16, 4)
S, M, L, XL = "Qwen3-0.6B", "Qwen3-4B", "Qwen3-14B", "Qwen3-32B"


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What was run, and on which kind of questions."""

    name: str
    sides: tuple[Side, ...]
    spread: float = 1.5
    compared: tuple[Side, ...] | None = None
    """The sides as they may be compared (caps, trials and copies made alike); None: as they are."""
    never: tuple[str, ...] = ()
    """Claims that must be neither borne out nor contradicted here."""

    @property
    def truth(self) -> tuple[Side, ...]:
        """Sides that the truth is found from."""
        return self.compared or self.sides


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """How many questions and samples look at a world."""

    world: World
    questions: int = 200
    samples: int | None = None
    """In place of those of the world's sides."""

    @property
    def name(self) -> str:
        """For tables."""
        samples = "" if self.samples is None else f" × {self.samples}"
        return f"{self.world.name}, {self.questions}{samples}"

    def of(self, sides: tuple[Side, ...]) -> tuple[Side, ...]:
        """The sides with this design's samples."""
        if self.samples is None:
            return sides
        return tuple(dataclasses.replace(side, samples=self.samples) for side in sides)


def both(model: str, dense: float, sparse: float, policy: Policy = SPARSE, **how) -> tuple[Side, Side]:
    """A model decoded densely and sparsely."""
    return (Side(model=model, skill=dense, **how), Side(model=model, skill=sparse, policy=policy, **how))


def sizes(*skills: float, **how) -> tuple[Side, ...]:
    """The smallest models, densely."""
    return tuple(Side(model=m, skill=s, **how) for m, s in zip((S, M, L, XL), skills, strict=False))


def but(sides: tuple[Side, ...], which: int, **changed) -> tuple[Side, ...]:
    """The sides, one of them otherwise."""
    return tuple(
        dataclasses.replace(side, **changed) if at == which else side for at, side in enumerate(sides)
    )


def each(sides: tuple[Side, ...], **changed) -> tuple[Side, ...]:
    """The sides, all of them otherwise."""
    return tuple(dataclasses.replace(side, **changed) for side in sides)


ALIKE = both(M, 0.5, 0.5)
BETTER = both(M, 0.0, 1.2)
WORSE = both(M, 1.0, -1.0)
RISING = sizes(-1.0, 0.5, 2.0)
STOPPING = sizes(0.0, 1.5, 0.0)
EQUAL = both(M, 0.0, 0.0) + both(M, 0.0, 0.0, NARROW)[1:] + both(M, 0.0, 0.0, BlockTopK(16, 8))[1:]
FALLING = sizes(1.0, 0.0, -1.0)

WORLDS = (
    World(name="sparse better throughout", sides=BETTER),
    World(name="sparse better, easy questions", sides=both(M, 1.5, 2.5), spread=2.0),
    World(name="sparse as good and cheaper", sides=ALIKE),
    World(name="sparse worse at the dear end", sides=both(M, 1.0, 0.0)),
    World(name="sparse far worse at the dear end", sides=WORSE),
    World(name="sparse a little worse", sides=both(M, 0.5, 0.35)),
    World(name="sparse narrow, two sizes", sides=both(S, -1.0, -2.0, NARROW) + both(M, 0.8, 0.2, NARROW)),
    World(name="sizes rise to the largest", sides=RISING),
    World(name="the smallest solves nothing", sides=sizes(-2.5, 1.0, -0.5)),
    World(name="sizes stop at the middle one", sides=STOPPING, spread=1.0),
    World(name="sizes stop at the third of four", sides=sizes(-2.0, -0.5, 1.2, -0.5)),
    World(name="sizes stop, easy questions", sides=sizes(0.5, 2.5, 1.0), spread=1.0),
    World(name="the larger only as good", sides=sizes(-2.5, 0.8, 0.8)),
    World(name="growing never pays", sides=FALLING),
    World(name="two sizes, the larger better", sides=sizes(-1.5, 1.0)),
    World(name="two sizes, the larger worse", sides=sizes(1.0, -0.5)),
    World(name="four hard sizes", sides=sizes(-5.0, -4.0, -3.0, -2.0)),
    World(name="many equal settings", sides=EQUAL, spread=0.5),
    World(name="many equal settings, few samples", sides=each(EQUAL, samples=4, skill=-1.0), spread=0.5),
    World(name="short answers of a large model", sides=both(L, 0.5, 0.5, length=150.0)),
    World(name="long traces of a small model", sides=both(S, 0.5, 0.5, length=9000.0)),
    World(name="a wide budget", sides=both(S, -1.0, -1.0, BlockTopK(16, 128)), spread=0.3),
    World(name="caps 16,384 and 4,096", sides=but(ALIKE, 1, cap=4096), compared=each(ALIKE, cap=4096)),
    World(name="caps of three sizes", sides=but(RISING, 0, cap=4096), compared=each(RISING, cap=4096)),
    World(
        name="temperatures 0.6 and 1, policies",
        sides=but(BETTER, 1, temperature=1.0),
        compared=BETTER[:1],
        never=("sparse",),
    ),
    World(
        name="temperatures 0.6 and 1, sizes",
        sides=but(sizes(-1.5, 1.0), 1, temperature=1.0),
        compared=sizes(-1.5),
        never=("sizes",),
    ),
    World(
        name="two graders, policies",
        sides=but(ALIKE, 1, source="lenient", skill=1.5),
        compared=ALIKE[:1],
        never=("sparse",),
    ),
    World(name="trials 16 and 4", sides=but(ALIKE, 0, samples=4), compared=each(ALIKE, samples=4)),
    World(
        name="trials 4 and 16, sizes",
        sides=but(STOPPING, 2, samples=4),
        compared=each(STOPPING, samples=4),
        spread=1.0,
    ),
    World(name="four copies", sides=each(BETTER, samples=4, stored=4), compared=each(BETTER, samples=4)),
    World(
        name="four copies of one side",
        sides=but(each(ALIKE, samples=4), 1, stored=4),
        compared=each(ALIKE, samples=4),
    ),
)

DESIGNS = (
    *(Design(world=world) for world in WORLDS),
    *(
        Design(world=world, questions=questions, samples=samples)
        for world in WORLDS
        if world.compared is None
        for questions, samples in ((30, 8), (12, 4))
    ),
)
