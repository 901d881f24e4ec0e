"""Whether more samples for questions whose outcome is open pay: ``python -m tests.scaling.per_question``.

Two stages on the same questions: m samples each, then the rest by Neyman's rule, ∝ √E[p(1 − p) | outcomes],
at least one each. The plain mean of all samples is biased, since a hard question that failed at first is not
tried again; weights that depend on no single outcome are not. Both against equal samples of every question.
"""

import numpy as np

from kinetics_jax.scaling import fit_beta_binomial


def second_stage(correct: np.ndarray, first: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples of each question [Q], ``samples`` in all but for rounding, and E[p(1 − p)] of each."""
    law = fit_beta_binomial(np.full(len(correct), first), correct)
    a, b = law.alpha + correct, law.beta + first - correct
    open_ = a * b / ((a + b) * (a + b + 1))
    share = np.sqrt(open_) / np.sqrt(open_).sum()
    return np.maximum(np.floor(1 + (samples - len(correct)) * share), 1).astype(int), open_


def compare(shape: tuple[float, float], trials: int, first: int, repeats: int = 300) -> dict[str, float]:
    """Errors against the mean of 200 chances ~ Beta(shape); squares as shares of the equal grid's."""
    rng, count = np.random.default_rng(0), 200
    errors: dict[str, list[float]] = {"equal": [], "plain": [], "joined": []}
    for _ in range(repeats):
        p = rng.beta(*shape, count)
        begun = rng.binomial(first, p)
        more, open_ = second_stage(begun, first, count * (trials - first))
        then = rng.binomial(more, p)
        noise = np.mean(open_ / more), np.mean(open_) / first
        weight = noise[0] / sum(noise)
        errors["equal"].append(np.mean(rng.binomial(trials, p) / trials - p))
        errors["plain"].append(np.mean((begun + then) / (first + more) - p))
        errors["joined"].append(np.mean(weight * begun / first + (1 - weight) * then / more - p))
    square = {name: float(np.mean(np.square(values))) for name, values in errors.items()}
    return {
        "plain": square["plain"] / square["equal"],
        "joined": square["joined"] / square["equal"],
        "plain_bias": float(np.mean(errors["plain"])) / np.sqrt(square["equal"]),
        "joined_bias": float(np.mean(errors["joined"])) / np.sqrt(square["equal"]),
    }


def main() -> None:
    """A table: Beta law of the chances, samples in all, samples at first."""
    print("| chances | trials | at first | plain mean | unbiased | bias of the plain mean, standard errors |")
    print("|---|---|---|---|---|---|")
    for shape in ((0.31, 0.61), (0.9, 0.6)):
        for trials, first in ((8, 2), (8, 4), (16, 4)):
            r = compare(shape, trials, first)
            shares = f"{r['plain']:.2f} | {r['joined']:.2f} | {r['plain_bias']:+.2f}"
            print(f"| Beta{shape} | {trials} | {first} | {shares} |")


if __name__ == "__main__":
    main()
