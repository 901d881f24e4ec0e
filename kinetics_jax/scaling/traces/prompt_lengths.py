"""Prompt lengths that some rows do not record, taken from those that do."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fill_with_group_mean(values: NDArray[np.float64], groups: NDArray[Any]) -> NDArray[np.float64]:
    """NaNs replaced by the mean of their group's known values, where it has any; both [rows]."""
    _, code = np.unique(groups, return_inverse=True)
    known = ~np.isnan(values)
    count = np.bincount(code, weights=known)
    total = np.bincount(code, weights=np.where(known, values, 0.0))
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return np.where(known, values, mean[code])
