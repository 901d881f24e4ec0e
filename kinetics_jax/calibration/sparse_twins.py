"""A sparse attention module against its dense twin: can floors and shares say which of the two is faster?

DeepSeek-V3.2's sparse attention (DSA) reads 2,048 tokens that an indexer chooses; V3's dense latent attention
(MLA) reads all. Both are one layer's module on one chip, and their public timings match in chip, framework,
heads, formats, batch and context. Modelled: both have a floor and their projections. Dense adds reads of
B·S·576 elements or 2·heads·1,088 FLOPs a token, whichever takes longer. Sparse adds the indexer's own
launches, logits of 64 × 128 a token, a top-k, and attention over 2,048 slots of heads padded to 64.
Axes: B sequences · S tokens of context. Times in microseconds.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from kinetics_jax.calibration.tables import Columns, read_columns, select
from kinetics_jax.chips import Chip, chips
from kinetics_jax.chips.dtypes import bytes_per_element
from kinetics_jax.errors import InputError

TOP_K = 2048
CLEAR = (0.9, 1.1)
"""Ratios of dense to sparse between which neither is called faster."""
_LATENT, _VALUE, _NOPE, _HEAD = 576, 512, 128, 128
_MODEL, _QUERY_RANK, _INDEX = 7168, 1536, 64 * 128
_INDEX_BYTES = 136.0
"""Of a token: its FP8 key with a scale, and the logit that is written and read."""
_TILE = 64
"""Heads that a sparse kernel works on at once; fewer are padded."""
_AT_ONCE = 140
"""Rows of a top-k that run side by side: one a multiprocessor, of which these chips have 132 to 152."""
_PARTS = {"score_floor": 4.0, "score_flops": 0.35, "select_floor": 4.0, "select_bw": 0.3}
_PARTS |= {"sparse_floor": 30.0, "sparse_flops": 0.4}
_MODULES = {"floor": 25.0, "quantised_floor": 10.0, "sparse_extra": 40.0, "weights_bw": 0.7}
_MODULES |= {"gemm_flops": 0.6, "kv_bw": 0.8, "attention_flops": 0.65, "attention_flops_fp8": 0.5}
_MODULES |= {"gather_bw": 0.6}
_ROWS_OF_A_FIT = 6000
_SEED = 0
_OUTLIER = 0.1
_WEIGHTS = {"bfloat16": "bfloat16", "fp8_block": "fp8", "nvfp4": "nvfp4"}
Constants = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class SignAccuracy:
    """How often the faster of two modules was named, each chip predicted from fits without it."""

    pairs: int
    clear: int
    """Pairs whose times differ by more than a tenth."""
    right: float
    """Share of the clear pairs whose faster module was named."""
    beyond: float
    """The same at contexts above 2,048, where sparse attention reads less."""
    dense_faster: float
    """Share of the clear pairs in which dense was faster: what naming it always gets right."""
    error_sparse: float
    """Mean of |predicted ÷ measured − 1| of the sparse module."""
    error_dense: float


@dataclasses.dataclass(frozen=True)
class Twins:
    """Rows of the matched table."""

    chip: Chip
    heads: np.ndarray
    kv_bytes: np.ndarray
    weight_bytes: np.ndarray
    batch: np.ndarray
    context: np.ndarray

    @classmethod
    def of(cls, chip: Chip, c: Columns) -> "Twins":
        """Rows of one chip."""
        kv = np.array([1.0 if name.startswith("fp8") else 2.0 for name in c["kv_cache_dtype"]])
        weights = np.array([bytes_per_element(_WEIGHTS[name]) for name in c["gemm_type"]])
        return cls(chip, c["num_heads"], kv, weights, c["batch_size"], c["e"])


def dense_us(rows: Twins, k: Constants) -> np.ndarray:
    """The dense module."""
    fp8 = rows.kv_bytes < 2
    share = np.where(fp8, 2 * k["attention_flops_fp8"], k["attention_flops"])
    tokens = rows.batch * rows.context
    read = _us(tokens * _LATENT * rows.kv_bytes, k["kv_bw"] * rows.chip.hbm_bandwidth)
    flops = _us(2 * rows.heads * (_LATENT + _VALUE) * tokens, share * rows.chip.peak())
    return k["floor"] + _projections(rows, k) + np.maximum(read, flops)


def sparse_us(rows: Twins, k: Constants) -> np.ndarray:
    """The sparse module."""
    one = np.ones_like(rows.batch)
    indexer = _matmul(rows, one * _QUERY_RANK * _INDEX, one * _MODEL * (128 + 64), k)
    tokens = rows.batch * rows.context
    score = _score_flops(rows.chip, tokens, k)
    read = _us(tokens * _INDEX_BYTES, k["kv_bw"] * rows.chip.hbm_bandwidth)
    gathered = rows.batch * np.minimum(rows.context, TOP_K) * _LATENT * rows.kv_bytes
    attend = np.maximum(
        _attend(rows.chip, rows.heads, rows.batch, k), _us(gathered, k["gather_bw"] * rows.chip.hbm_bandwidth)
    )
    choose = k["score_floor"] + np.maximum(score, read) + _top_k(rows.chip, rows.batch, rows.context, k)
    return k["floor"] + k["sparse_extra"] + _projections(rows, k) + indexer + choose + attend


def _us(work: np.ndarray, rate: np.ndarray | float) -> np.ndarray:
    return 1e6 * work / rate


def _matmul(rows: Twins, quantised: np.ndarray, plain: np.ndarray, k: Constants) -> np.ndarray:
    peak = rows.chip.peak() * np.where(rows.weight_bytes < 2, 2, 1)
    read = _us(quantised * rows.weight_bytes + 2 * plain, k["weights_bw"] * rows.chip.hbm_bandwidth)
    return np.maximum(read, _us(2 * rows.batch * (quantised + plain), k["gemm_flops"] * peak))


def _projections(rows: Twins, k: Constants) -> np.ndarray:
    quantised = _MODEL * (_QUERY_RANK + _LATENT) + _QUERY_RANK * rows.heads * (_NOPE + 64)
    quantised = quantised + rows.heads * _HEAD * _MODEL
    absorbed = rows.heads * _VALUE * (_NOPE + _HEAD)
    return _matmul(rows, quantised, absorbed, k) + k["quantised_floor"] * (rows.weight_bytes < 2)


def _score_flops(chip: Chip, tokens: np.ndarray, k: Constants) -> np.ndarray:
    return _us(2 * _INDEX * tokens, k["score_flops"] * 2 * chip.peak())


def _top_k(chip: Chip, rows: np.ndarray, candidates: np.ndarray, k: Constants) -> np.ndarray:
    """A row is one block's: fewer rows than run at once take as long as those."""
    return k["select_floor"] + _us(
        np.maximum(rows, _AT_ONCE) * candidates * 4, k["select_bw"] * chip.hbm_bandwidth
    )


def _attend(chip: Chip, heads: np.ndarray | float, rows: np.ndarray, k: Constants) -> np.ndarray:
    """Slots of ``TOP_K`` tokens whatever the context: one wave of them is the floor."""
    padded = np.ceil(np.asarray(heads) / _TILE) * _TILE
    flops = rows * TOP_K * 2 * padded * (_LATENT + _VALUE)
    return np.maximum(k["sparse_floor"], _us(flops, k["sparse_flops"] * chip.peak()))


def sign_accuracy(folder: Path) -> SignAccuracy:
    """The model on every matched pair, the constants of each chip from fits that never saw it.

    Constants of kernels are fitted on ``sparse_parts.csv.gz``, those of modules on pairs of
    other chips of the same architecture (of all other chips, where there is none).

    Raises ``InputError`` where a table is missing or has a chip that the table of chips has not.
    """
    pairs, parts = (
        read_columns(folder / f"{name}.csv.gz") for name in ("dsa_vs_mla_matched", "sparse_parts")
    )
    names = np.char.replace(pairs["chip"].astype(str), "_sxm", "")
    if unknown := sorted(set(names) - set(chips)):
        raise InputError(f"{folder}: no chip {', '.join(unknown)} in kinetics_jax/chips/chips.toml")
    ratios, far, dense, errors = [], [], [], []
    for name in sorted(set(names)):
        mine = select(pairs, names == name)
        constants = _constants(pairs, names, parts, without=name)
        rows = Twins.of(chips[name], mine)
        sparse, whole = sparse_us(rows, constants), dense_us(rows, constants)
        measured = mine["mla"] / mine["dsa"]
        ratios.append((whole > sparse) == (measured > 1))
        far.append((measured < CLEAR[0]) | (measured > CLEAR[1]))
        dense.append(np.stack([measured < 1, mine["e"] > TOP_K]))
        errors.append(np.stack([abs(sparse / mine["dsa"] / 1e3 - 1), abs(whole / mine["mla"] / 1e3 - 1)]))
    right, clear = np.concatenate(ratios), np.concatenate(far)
    faster, long = np.concatenate(dense, axis=1)
    off = np.concatenate(errors, axis=1).mean(axis=1)
    return SignAccuracy(
        pairs=len(right),
        clear=int(clear.sum()),
        right=float(right[clear].mean()),
        beyond=float(right[clear & long].mean()),
        dense_faster=float(faster[clear].mean()),
        error_sparse=float(off[0]),
        error_dense=float(off[1]),
    )


def _alike(name: str, others: list[str]) -> list[str]:
    """Chips of the same generation, by the first letter of their maker's word (Hopper, Blackwell)."""
    same = [other for other in others if other.removeprefix("g")[0] == name.removeprefix("g")[0]]
    return same or others


def _constants(pairs: Columns, names: np.ndarray, parts: Columns, without: str) -> dict[str, float]:
    others = _alike(without, sorted(set(names) - {without}))
    timed = sorted(set(parts["chip"]) - {without})
    found = _fit_parts(select(parts, np.isin(parts["chip"], _alike(without, timed))))
    there = np.flatnonzero(np.isin(names, others))
    rng = np.random.default_rng(_SEED)
    chosen = rng.permutation(there)[:_ROWS_OF_A_FIT]
    by_chip = [
        (Twins.of(chips[name], rows), 1e3 * rows["dsa"], 1e3 * rows["mla"])
        for name in others
        if len((rows := select(pairs, chosen[names[chosen] == name]))["dsa"])
    ]

    def residuals(k: Constants) -> np.ndarray:
        every = [
            (np.log(sparse_us(rows, k) / sparse), np.log(dense_us(rows, k) / dense))
            for rows, sparse, dense in by_chip
        ]
        return np.concatenate([part for a, b in every for part in (a, b, a - b)])

    return found | _least(residuals, _MODULES, found)


def _fit_parts(parts: Columns) -> dict[str, float]:
    """Constants of the kernels that choose, from their own timings (in a loop: their operands are cached)."""
    found: dict[str, float] = {}
    rows = parts["batch"] * parts["new_tokens"]
    kinds: list[tuple[np.ndarray, tuple[str, ...], Callable[[Chip, np.ndarray, Constants], np.ndarray]]] = [
        (
            (parts["kind"] == "topk2048") & (parts["mode"] == "top_last"),
            ("select_floor", "select_bw"),
            lambda chip, at, k: _top_k(chip, rows[at], parts["context"][at], k),
        ),
        (
            parts["kind"] == "paged_indexer_logits",  # one of its keys stands for four tokens
            ("score_floor", "score_flops"),
            lambda chip, at, k: k["score_floor"] + _score_flops(chip, rows[at] * parts["context"][at] / 4, k),
        ),
        (
            parts["kind"] == "sparse_attn2048",
            ("sparse_floor", "sparse_flops"),
            lambda chip, at, k: _attend(chip, float(_TILE), rows[at], k),
        ),
    ]
    for there, constants, seconds in kinds:
        by_chip = [
            (chips[name], np.flatnonzero(there & (parts["chip"] == name)))
            for name in sorted(set(parts["chip"]))
        ]

        def residuals(
            k: Constants, by_chip: list[tuple[Chip, np.ndarray]] = by_chip, seconds: Callable = seconds
        ) -> np.ndarray:
            return np.concatenate([np.log(seconds(chip, at, k) / parts["us"][at]) for chip, at in by_chip])

        found |= _least(residuals, {name: _PARTS[name] for name in constants}, found)
    return found


def _least(
    residuals: Callable[[Constants], np.ndarray], start: Constants, fixed: Constants
) -> dict[str, float]:
    """The constants of least residuals, beside those that are fixed; each stays above zero."""

    def at(logs: np.ndarray) -> np.ndarray:
        return residuals({**fixed, **dict(zip(start, np.exp(logs).tolist(), strict=True))})

    first = np.log(list(start.values()))
    best = least_squares(
        at, first, bounds=(np.log(1e-2), np.log(1e3)), loss="soft_l1", f_scale=_OUTLIER, max_nfev=60
    )
    return dict(zip(start, np.exp(best.x).tolist(), strict=True))


def choosing_floors(folder: Path) -> dict[str, float]:
    """Chip → seconds a launch of the kernels that choose: the mean of a score's and a top-k's floor."""
    parts = read_columns(folder / "sparse_parts.csv.gz")
    found = {}
    for name in sorted(set(parts["chip"])):
        constants = _fit_parts(select(parts, parts["chip"] == name))
        found[str(name)] = (constants["score_floor"] + constants["select_floor"]) / 2 * 1e-6
    return found
