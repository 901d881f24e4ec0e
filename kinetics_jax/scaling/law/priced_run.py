"""What the prices of a run say beside its laws: attention's share, what moves, how far off they were."""

import dataclasses
from collections.abc import Sequence

from kinetics_jax.costs import Chip, PriceEvidence
from kinetics_jax.costs.how_far_off import merged
from kinetics_jax.policies import Policy
from kinetics_jax.scaling.law.break_even import break_evens
from kinetics_jax.scaling.law.break_even_results import BreakEven
from kinetics_jax.scaling.law.deployments import priced_families
from kinetics_jax.scaling.law.options import LawOptions
from kinetics_jax.scaling.law.paper_claims import SHARES_OF, AttentionShare, attention_share
from kinetics_jax.scaling.law.price_evidence import shape_evidence
from kinetics_jax.scaling.law.price_move_results import PriceMove
from kinetics_jax.scaling.law.price_moves import price_moves
from kinetics_jax.scaling.law.results import Law
from kinetics_jax.scaling.law.without_traces import QWEN3, SPARSE
from kinetics_jax.scaling.traces.comparable import Family


@dataclasses.dataclass(frozen=True)
class PricedRun:
    """The families of a run, its chips, and how they are priced."""

    families: Sequence[Family]
    chips: Sequence[Chip]
    options: LawOptions

    def attention_share(self, options: LawOptions) -> AttentionShare | None:
        """Of all families on the first chip, under one kind of prices."""
        priced = priced_families(self.families, self.chips[0], options)
        return attention_share(priced, SHARES_OF[options.prices])

    def moves(self, laws: Sequence[Law]) -> tuple[PriceMove, ...]:
        """What of each law other prices move; none unless both kinds were asked for."""
        if self.options.prices != "both":
            return ()
        return price_moves(laws, self._share_of)

    def _share_of(self, law: Law) -> AttentionShare | None:
        """Of a law's own cells."""
        mine = [one for one in self.families if (one.dataset, one.source) == (law.dataset, law.source)]
        chip = next(chip for chip in self.chips if chip.name == law.chip)
        options = next(one for one in self.options.each if one.prices == law.prices)
        return attention_share(priced_families(mine, chip, options), SHARES_OF[law.prices])

    def break_evens(self, project: Policy | None) -> tuple[tuple[BreakEven, ...], list[str]]:
        """From which context on sparse attention pays, and chips of which nobody knows; calibrated only."""
        if self.options.prices == "data_sheet":
            return (), []
        return break_evens(self.families, self.chips, self.options, QWEN3, project or SPARSE)

    def evidence(self, laws: Sequence[Law]) -> tuple[PriceEvidence, ...]:
        """How far the prices of these laws were off; without laws, those of the tables of capacity."""
        known = merged(law.price_evidence for law in laws if law.price_evidence is not None)
        return known or shape_evidence(QWEN3[0], SPARSE, self.chips)
