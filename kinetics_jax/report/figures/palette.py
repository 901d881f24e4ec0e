"""One colour per model, by size: the hue says how large it is, and stays the same in every figure.

Hues are Okabe and Ito's, which people with any colour vision can tell apart. Models of one size class that
meet in a law differ in lightness.
"""

import bisect

from kinetics_jax.scaling.law.results import Results

_UPPER_BOUNDS = (1e9, 2.5e9, 5.5e9, 1e10, 2e10, 5e10, 1.2e11)
_HUES = ("#56b4e9", "#0072b2", "#009e73", "#e0b000", "#e07b00", "#b8321a", "#cc79a7", "#333333")
_LIGHTNESS = (0.0, 0.45, -0.4, 0.68, -0.65, 0.25, -0.2)
"""Share of white (positive) or black (negative) mixed in for the 1st, 2nd … model of a class."""
NOTHING = "#d9d9d9"
"""Where no model is chosen, or its size is not known."""


class Palette:
    """The colour and the place in order of size of every model that a law or the shapes name.

    ``Qwen3-8B`` and ``qwen3-8b`` are one model.
    """

    def __init__(self, results: Results) -> None:
        """Give out colours: first to the shapes' models, then from the smallest to the largest."""
        self._sizes = _sizes(results)
        known = {model.name.casefold() for model in results.shapes.models}
        meetings = [{name.casefold() for name in law.models} for law in results.laws] + [known]
        self._colours: dict[str, str] = {}
        for name in sorted(self._sizes, key=lambda n: (n not in known, self._sizes[n], n)):
            self._colours[name] = self._free_colour(name, meetings)

    def _free_colour(self, name: str, meetings: list[set[str]]) -> str:
        """The first lightness of the model's hue that nobody it meets has."""
        hue = _HUES[bisect.bisect_right(_UPPER_BOUNDS, self._sizes[name])]
        met = set().union(*(group for group in meetings if name in group))
        taken = {self._colours[other] for other in met if other in self._colours}
        shades = [mix(hue, share) for share in _LIGHTNESS]
        return next((shade for shade in shades if shade not in taken), shades[-1])

    def colour(self, name: str) -> str:
        """The model's colour as ``#rrggbb``, or grey where the name is empty or unknown."""
        return self._colours.get(name.casefold(), NOTHING)

    def size(self, name: str) -> float:
        """Parameters of the model; infinite where not known, which sorts it last."""
        return self._sizes.get(name.casefold(), float("inf"))

    def by_size(self, names: tuple[str, ...]) -> list[str]:
        """The names from the smallest model to the largest."""
        return sorted(names, key=lambda name: (self.size(name), name))


def _sizes(results: Results) -> dict[str, float]:
    sizes = {model.name.casefold(): float(model.total_params) for model in results.shapes.models}
    for law in results.laws:
        sizes.update(zip((name.casefold() for name in law.models), law.sizes, strict=True))
    return sizes


def mix(colour: str, share: float) -> str:
    """A colour with white (share > 0) or black (share < 0) mixed in."""
    target = 255 if share > 0 else 0
    mixed = (round(c + (target - c) * abs(share)) for c in _channels(colour))
    return "#" + "".join(f"{c:02x}" for c in mixed)


def is_dark(colour: str) -> bool:
    """Whether white text reads better on the colour than black."""
    red, green, blue = _channels(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue < 125


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
