"""A policy per layer: KV budgets that differ from layer to layer."""

import dataclasses
from typing import ClassVar

from kinetics_jax.checks import shown
from kinetics_jax.errors import InputError
from kinetics_jax.policies.arrays import Array
from kinetics_jax.policies.base import Policy
from kinetics_jax.policies.sparse import SparsePolicy


@dataclasses.dataclass(frozen=True)
class PerLayer(Policy):
    """Layer n follows ``layers[n]`` whole; ``dense_layers`` of those policies do not count here.

    Counts (``kv_reads`` and so on) are means over the layers, which is what a cost per model needs.
    """

    layers: tuple[Policy, ...]

    name: ClassVar[str] = "per_layer"
    in_paper: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.layers, list | tuple):
            raise InputError(f"PerLayer: layers={shown(self.layers)} must be a list of policies")
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise InputError("PerLayer: layers must name at least one policy")
        for layer in self.layers:
            if not isinstance(layer, Policy) or isinstance(layer, PerLayer):
                raise InputError(f"PerLayer: layers={shown(layer)} must be policies of one layer each")

    @property
    def kv_budget(self) -> int | None:
        """Mean budget over the layers, rounded; None where a layer reads everything."""
        budgets = [layer.kv_budget for layer in self.layers]
        known = [budget for budget in budgets if budget is not None]
        return round(sum(known) / len(known)) if len(known) == len(budgets) else None

    @property
    def label(self) -> str:
        """``per layer (dense, block top-k 16×64, …)``: each policy once."""
        return f"per layer ({', '.join(dict.fromkeys(layer.label for layer in self.layers))})"

    def check_layers(self, num_layers: int) -> None:
        """Raise ``InputError`` unless there is a policy for each layer."""
        if len(self.layers) != num_layers:
            raise InputError(f"PerLayer names {len(self.layers)} policies; the model has {num_layers} layers")

    def at_layer(self, layer: int) -> Policy:
        """``layers[layer]``."""
        if not 0 <= layer < len(self.layers):
            raise InputError(f"PerLayer has {len(self.layers)} layers; there is no layer {layer}")
        return self.layers[layer]

    @property
    def natural_page(self) -> int | None:
        """The page size that the layers ask for. Raises ``InputError`` where they disagree."""
        asked = (layer.natural_page for layer in self.layers)
        wanted = {page for page in asked if page is not None}
        if len(wanted) > 1:
            raise InputError(f"PerLayer: layers want pages of {sorted(wanted)} tokens; one is needed")
        return wanted.pop() if wanted else None

    def on_pages(self, page_size: int) -> "PerLayer":
        """Every layer's policy on pages."""
        return PerLayer(tuple(layer.on_pages(page_size) for layer in self.layers))

    def kv_reads(self, lengths: Array) -> Array:
        """Mean over the layers."""
        return sum(layer.kv_reads(lengths) for layer in self.layers) / len(self.layers)

    def summary_reads(self, lengths: Array) -> Array:
        """Mean over the layers."""
        return sum(layer.summary_reads(lengths) for layer in self.layers) / len(self.layers)

    def prompt_summary_reads(self, prompt: Array, end: Array) -> Array:
        """Mean over the layers."""
        if not any(isinstance(layer, SparsePolicy) and layer.min_context for layer in self.layers):
            return super().prompt_summary_reads(prompt, end)  # one product, which rounds as it always did
        return sum(layer.prompt_summary_reads(prompt, end) for layer in self.layers) / len(self.layers)

    def launches(self, lengths: Array) -> Array:
        """Mean over the layers."""
        return sum(layer.launches(lengths) for layer in self.layers) / len(self.layers)

    def keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """Not defined for the model as a whole: ask a layer's policy."""
        raise InputError("PerLayer has a mask per layer: ask at_layer(n).keep_mask")
