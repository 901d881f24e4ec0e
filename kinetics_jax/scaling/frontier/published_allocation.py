"""The paper's Algorithms 1 and 2 (App. D.2) as they are printed, task by task.

They are the readable meaning of what ``study`` and ``choose_and_score`` do for whole grids of costs at
once, and are tested against them. A task's samples are held per KV budget.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinetics_jax.errors import InputError
from kinetics_jax.scaling.statistics.pass_at_k import pass_at_k

Budget = Any
"""Whatever names a KV budget: a number, a policy …; a dense model is one "budget"."""
Samples = Sequence[tuple[NDArray[Any], NDArray[Any]]]
"""Per task the generated tokens and the correctness of its S samples, [S] each."""
Cost = Callable[[Budget, int, NDArray[Any], int], NDArray[Any]]
"""cost(budget, task, generated tokens [S], trials) → price of each, [S]."""


def best_of_n_allocation(
    samples: Mapping[Budget, Samples], trials: Sequence[int], cost: Cost, limit: float
) -> float:
    """Algorithm 1: accuracy when each task takes its best (KV budget, number of trials) in the limit.

    Args:
        samples: KV budget → tasks → samples, at least max(trials) of each.
        trials: numbers of trials N that may be chosen.
        cost: price of one request with N trials that are all this long.
        limit: cost limit C of every task; none may lend to another.

    Returns:
        Mean over tasks of the best pass@N with expected cost ≤ C (0 for a task that nothing fits).

    Raises:
        InputError: no budgets, budgets with different tasks, or N above the number of samples.
    """
    best = np.zeros(_number_of_tasks(samples))
    for budget, tasks in samples.items():
        for task, (lengths, correct) in enumerate(tasks):
            for n in trials:
                if np.mean(cost(budget, task, lengths, n)) <= limit:
                    covered = float(pass_at_k(len(correct), np.sum(correct), n))
                    best[task] = max(best[task], covered)
    return float(best.mean())


def long_cot_allocation(
    samples: Mapping[Budget, Samples], lengths: Sequence[int], cost: Cost, limit: float
) -> float:
    """Algorithm 2: accuracy when each task takes its best (KV budget, generation length) in the limit.

    A trace longer than the chosen length n is cut there: it costs n tokens and is wrong.

    Args:
        samples: KV budget → tasks → samples.
        lengths: generation lengths n that may be chosen, in tokens.
        cost: price of one request; called with one trial.
        limit: cost limit C of every task.

    Returns:
        Mean over tasks of the best pass@1 with expected cost ≤ C (0 for a task that nothing fits).

    Raises:
        InputError: no budgets, or budgets with different tasks.
    """
    best = np.zeros(_number_of_tasks(samples))
    for budget, tasks in samples.items():
        for task, (tokens, correct) in enumerate(tasks):
            for n in lengths:
                if np.mean(cost(budget, task, np.minimum(tokens, n), 1)) <= limit:
                    solved = np.mean(np.asarray(correct, bool) & (np.asarray(tokens) <= n))
                    best[task] = max(best[task], float(solved))
    return float(best.mean())


def _number_of_tasks(samples: Mapping[Budget, Samples]) -> int:
    counts = {len(tasks) for tasks in samples.values()}
    if len(counts) != 1 or 0 in counts:
        raise InputError("give at least one KV budget, and the same tasks (≥ 1) for each of them")
    return counts.pop()
