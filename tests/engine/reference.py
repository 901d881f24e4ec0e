"""Slow and plain: the distribution that the filters leave, in float64, one token after the other."""

import math

import numpy as np
from scipy import stats


def distribution(logits, *, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, order="kpm"):
    """Probabilities [V] after the filters in this order (k top-k, p nucleus, m min-p)."""
    V = len(logits)
    ranked = sorted(range(V), key=lambda i: (-float(logits[i]), i))
    if temperature < 0.02:
        return np.eye(V)[ranked[0]]
    top = float(logits[ranked[0]])
    weight = {i: math.exp((float(logits[i]) - top) / temperature) for i in ranked}
    kept = ranked
    for step in order:
        if step == "k" and top_k:
            kept = kept[:top_k]
        if step == "p":
            total, before, stay = sum(weight[i] for i in kept), 0.0, []
            for i in kept:
                if before / total <= top_p:
                    stay.append(i)
                before += weight[i]
            kept = stay
        if step == "m":
            kept = [i for i in kept if weight[i] >= min_p]
    total = sum(weight[i] for i in kept)
    result = np.zeros(V)
    for i in kept:
        result[i] = weight[i] / total
    return result


def chi_square(counts, probabilities):
    """p-value of the counts under the probabilities; 0 if something impossible was drawn."""
    if counts[probabilities == 0].sum():
        return 0.0
    expected = probabilities * counts.sum()
    order = np.argsort(expected)
    observed_cells, expected_cells, seen, due = [], [], 0.0, 0.0
    for i in order[expected[order] > 0]:
        seen, due = seen + counts[i], due + expected[i]
        if due >= 8:
            observed_cells.append(seen)
            expected_cells.append(due)
            seen, due = 0.0, 0.0
    if due and expected_cells:
        observed_cells[-1] += seen
        expected_cells[-1] += due
    if len(expected_cells) < 2:
        return 1.0
    statistic = sum((o - e) ** 2 / e for o, e in zip(observed_cells, expected_cells, strict=True))
    return float(stats.chi2.sf(statistic, len(expected_cells) - 1))
