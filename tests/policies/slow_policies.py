"""The reference's index sets written once more, row by row: an oracle for the vectorised masks."""

import numpy as np

from kinetics_jax.policies import BlockTopK, Policy, Quest, SlidingWindow, StridedBlockTopK, TopK


def best(scores: np.ndarray, k: int) -> list[int]:
    return sorted(np.argsort(-scores, kind="stable")[:k].tolist())


def kept(policy: Policy, scores: np.ndarray) -> set[int]:
    """Positions read by one KV head whose context is all of ``scores``."""
    length = len(scores)
    everything = set(range(length))
    if length < policy.min_context:
        return everything
    if getattr(policy, "aligned", False) or getattr(policy, "page_size", None):
        return kept_pages(policy, scores)
    ends = set(range(min(policy.sink, length))) | set(range(max(length - policy.local, 0), length))
    if isinstance(policy, SlidingWindow):
        return ends if length > policy.sink + policy.local else everything
    if isinstance(policy, TopK):
        if length <= policy.sink + policy.k + policy.local:
            return everything
        middle = scores[policy.sink : length - policy.local]
        return ends | {policy.sink + i for i in best(middle, policy.k)}
    if isinstance(policy, StridedBlockTopK):
        starts = range(policy.sink, length - policy.local - policy.block_size + 1, policy.stride)
        if not starts:
            return everything
        means = np.array([scores[s : s + policy.block_size].mean() for s in starts])
        union = sorted(
            {starts[i] + j for i in best(means, 2 * policy.top_blocks) for j in range(policy.block_size)}
        )
        return ends | set(union[: policy.top_blocks * policy.block_size])
    assert isinstance(policy, BlockTopK)
    size, budget = policy.block_size, policy.sink + policy.local + policy.kv_budget - policy.local
    if length <= -(-budget // size) * size:
        return everything
    blocks = (length - policy.local - policy.sink) // size
    rank = np.max if isinstance(policy, Quest) else np.mean
    values = np.array(
        [rank(scores[policy.sink + b * size : policy.sink + (b + 1) * size]) for b in range(blocks)]
    )
    dropped = set(range(blocks)) - set(best(values, policy.top_blocks))
    return everything - {policy.sink + b * size + j for b in dropped for j in range(size)}


def kept_pages(policy: Policy, scores: np.ndarray) -> set[int]:
    """Whole pages from position 0: those of the sinks, those of the window, and the best others."""
    length = len(scores)
    size = getattr(policy, "page_size", None) or policy.block_size
    top = getattr(policy, "top_blocks", 0)
    pages = [list(range(s, min(s + size, length))) for s in range(0, length, size)]
    sinks = -(-policy.sink // size)
    window = 1 + -(-max(policy.local - 1, 0) // size)
    if len(pages) <= sinks + window + top:
        return set(range(length))
    chosen = set(range(sinks)) | set(range(len(pages) - window, len(pages)))
    others = [n for n in range(len(pages)) if n not in chosen]
    rank = np.max if isinstance(policy, Quest) else np.mean
    values = np.array([rank(scores[pages[n]]) for n in others])
    chosen |= {others[i] for i in best(values, top)}
    return {position for n in chosen for position in pages[n]}
