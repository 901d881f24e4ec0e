"""What an attention policy is: which cached tokens one decode step reads, per KV head.

The object that selects tokens in the engine is the object that the cost model prices. Formulas are
written against NumPy or JAX arrays alike, and need neither engine nor chip.
Axes: B sequences · N query heads · K KV heads · G = N/K · S context, the newest token included.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kinetics_jax import references
from kinetics_jax.checks import MAX_INT32, python_number, shown
from kinetics_jax.errors import InputError
from kinetics_jax.policies.arrays import Array, array_namespace, exists, group_mean
from kinetics_jax.policies.pages import PageRule


def _place(cls: type) -> str:
    return references.reference_of(cls) or f"{cls.__module__}:{cls.__qualname__}"


registry: dict[str, type["Policy"]] = {}
"""Every policy by name: a class is entered as it is defined."""

LATER: Mapping[str, Any] = {"later": True}
"""Metadata of a field that policies did not always have: while it has its default it is not stored and
names nothing, so that records, folders and digests from before it stay what they were."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """Base of all policies. A new one is a dataclass with a ``name`` that fills in the four methods below.

    ``name`` is the policy's word in sample records, flags and tables. A class with a name registers itself.
    """

    name: ClassVar[str] = ""
    summaries_per_block: ClassVar[int] = 0
    """Key summaries stored per block and read to score it: 0 no search, 1 mean key, 2 min and max."""

    search_launches: ClassVar[int] = 2
    """Kernel launches of one layer's search: score the summaries, select the best pages."""

    is_oracle: ClassVar[bool] = False
    """Whether choosing needs every key's true score, which the paper takes to be free."""

    in_paper: ClassVar[bool] = True
    """Whether the paper's closed forms cover it: one budget B in every layer."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        name = cls.name
        if not isinstance(name, str) or not name:  # a base of several policies, or a stored one
            return
        if "name" not in cls.__dict__ or not name.isidentifier():
            raise InputError(
                f"policy {_place(cls)}: name={name!r} must be a word of its own; "
                'set name: ClassVar[str] = "my_policy"'
            )
        other = registry.setdefault(name, cls)
        if _place(other) != _place(cls):
            raise InputError(
                f"two policies are called {name!r}: {_place(other)} and {_place(cls)}; rename one of them"
            )
        registry[name] = cls  # the same class, imported anew

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A policy of a user's file goes to other processes by reference: they import the file too."""
        if place := references.reference_of(type(self)):
            return _remade, (place, {f.name: getattr(self, f.name) for f in dataclasses.fields(self)})
        return super().__reduce_ex__(protocol)

    @property
    def kv_budget(self) -> int | None:
        """The paper's B: tokens per KV head and step, sinks not counted; None reads everything."""
        raise NotImplementedError

    @property
    def search_interval(self) -> int | None:
        """Tokens between two scored blocks (the paper's BS in C_search); None where no search is."""
        return None

    @property
    def num_dense_layers(self) -> int:
        """First layers that read everything all the same (the reference engine keeps layer 0 so)."""
        return 0

    @property
    def pages(self) -> PageRule | None:
        """How a step chooses whole pages of a paged cache; None where it chooses single tokens."""
        return None

    @property
    def natural_page(self) -> int | None:
        """Page size, in tokens, that the policy asks of a paged cache; None where any will do."""
        return None

    def on_pages(self, page_size: int) -> "Policy":
        """The form of this policy that reads whole pages of ``page_size`` tokens, as kernels do.

        A policy of single tokens has none and is returned as it is. Raises ``InputError`` where
        pages of that size cannot be the policy's blocks.
        """
        del page_size
        return self

    def check_layers(self, num_layers: int) -> None:
        """Raise ``InputError`` where the policy is not for a model of that many layers."""

    def at_layer(self, layer: int) -> "Policy":
        """The policy that one layer follows: ``Dense`` in the first ``num_dense_layers``."""
        return Dense() if layer < self.num_dense_layers else self

    @property
    def has_paper_cost(self) -> bool:
        """Whether the paper's closed forms cover this policy with these fields."""
        return self.in_paper

    @property
    def label(self) -> str:
        """A short text for tables and legends, such as ``block top-k 16×64``."""
        raise NotImplementedError

    def kv_reads(self, lengths: Array) -> Array:
        """Tokens of K and V that one KV head reads in one step.

        Args:
          lengths: context lengths S, any shape; the newest token included.

        Returns:
          Token counts of the same shape, at most ``lengths``. Grows by at most one per token of S.
        """
        raise NotImplementedError

    def summary_reads(self, lengths: Array) -> Array:
        """Key summaries (H elements each) that one KV head reads to choose, same shape as lengths."""
        return lengths * 0

    def prompt_summary_reads(self, prompt: Array, end: Array) -> Array:
        """Of the summaries read at the contexts from ``prompt`` to ``end`` − 1, those that are of the prompt.

        Samples of one prompt read them together. A prompt with nothing to choose in it has none.

        Args:
          prompt: tokens of the prompt, any shape.
          end: context after the last step, of a shape that goes with it.

        Returns:
          Summaries per KV head, summed over the steps.
        """
        return (end - prompt) * self.summary_reads(prompt)

    def launches(self, lengths: Array) -> Array:
        """Kernel launches that one layer's step takes beyond those of dense attention (append, attend).

        ``search_launches`` where summaries are read to choose, else 0. The engine gathers nothing, since
        attention follows the list of pages; sequences of one batch share their launches, which are taken
        if any of them chooses. With a ``min_context`` the engine skips a search of which nothing hangs;
        without one it launches the search from the first step on, though it then changes nothing. A
        policy whose search is of other kernels sets ``search_launches``, or overrides this.

        Args:
          lengths: context lengths S, any shape; the newest token included.

        Returns:
          Launches per layer, same shape as ``lengths``.
        """
        return array_namespace(lengths).where(self.summary_reads(lengths) > 0, self.search_launches, 0)

    def keep_mask(self, logits_bns: np.ndarray, lengths_b: np.ndarray, num_kv_heads: int) -> np.ndarray:
        """The exact set of positions that the reference reads (docs/paper_facts.md, "Sparse attention").

        Args:
          logits_bns: scaled logits q·k/√H before the softmax, [B, N, S].
          lengths_b: valid positions of each row, the newest token included, [B].
          num_kv_heads: K.

        Returns:
          True where the position is read, bool [B, K, S]; positions ≥ length are False.

        Raises:
          InputError: shapes that do not fit, or lengths outside 0…S.
        """
        logits_bns, lengths_b = np.asarray(logits_bns), np.asarray(lengths_b)
        if logits_bns.ndim != 3 or lengths_b.shape != logits_bns.shape[:1]:
            raise InputError(
                f"keep_mask takes logits [B, N, S] and lengths [B], got {logits_bns.shape} and "
                f"{lengths_b.shape}"
            )
        b, _, s = logits_bns.shape
        if np.any(lengths_b < 0) or np.any(lengths_b > s):
            raise InputError(f"lengths must be in 0…{s} (S of the logits), got {lengths_b.tolist()}")
        keep_bks = self.keep(group_mean(logits_bns, num_kv_heads), lengths_b, np.arange(b))
        return np.broadcast_to(keep_bks, (b, num_kv_heads, s)).copy()

    def keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """``keep_mask`` from the group means of the logits, on arrays of either kind, unchecked.

        Args:
          scores_bks: mean scaled logit of each KV head's query group, [B, K, S].
          lengths_b: valid positions of each row, [B]; what lies beyond is never looked at.
          streams_b: what makes a row's random draws its own, int [B]; only random policies look.

        Returns:
          bool [B, K or 1, S].
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Dense(Policy):
    """Every step reads every cached token."""

    name: ClassVar[str] = "dense"

    @property
    def kv_budget(self) -> None:
        """No budget."""
        return None

    @property
    def label(self) -> str:
        """``dense``."""
        return "dense"

    def kv_reads(self, lengths: Array) -> Array:
        """All S tokens."""
        return lengths

    def keep(self, scores_bks: Array, lengths_b: Array, streams_b: Array) -> Array:
        """Every position that exists."""
        return exists(lengths_b, scores_bks.shape[-1])


def _remade(reference: str, fields: Mapping[str, Any]) -> Policy:
    return references.load(reference, "policy")(**fields)


def fields_that_say(policy: Policy) -> list[dataclasses.Field[Any]]:
    """The fields that make the policy what it is, in the order users write them.

    A field that came ``LATER`` stands last, and not at all while it has its default.
    """
    fields = dataclasses.fields(policy)
    later = [f for f in fields if f.metadata == LATER and getattr(policy, f.name) != f.default]
    return [f for f in fields if f.metadata != LATER] + later


def check_counts(policy: Policy, **least: int) -> None:
    """Make every named field of ``policy`` an int; InputError unless it is one of at least that much."""
    for field, minimum in least.items():
        number = python_number(getattr(policy, field))
        if not isinstance(number, int) or not minimum <= number <= MAX_INT32:
            value = shown(getattr(policy, field))
            raise InputError(
                f"{type(policy).__name__}: {field}={value} must be an integer ≥ {minimum} and at most "
                f"{MAX_INT32}"
            )
        object.__setattr__(policy, field, number)
