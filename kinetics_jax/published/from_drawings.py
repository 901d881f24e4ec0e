"""Rows that compute nothing: spans read off drawings of which we hold no curve, and open claims."""

from kinetics_jax.published.finding import Finding

READ_OFF = (
    Finding(
        id="cheap_end",
        claim="sparse attention gains over 60 points where little is spent",
        where="abstract, Fig. 8a",
        unit="points at 0.2 s",
        published=60.0,
        ours=64.7,
        rule="at least",
        basis="read off",
        note="for Best-of-N with a perfect verifier; for one answer of any length see long_cot_gain",
    ),
    Finding(
        id="best_of_n_ratio",
        claim="with Best-of-N, dense pays 10.67 times as much for the same accuracy",
        where="Fig. 8a",
        unit="× at accuracy .873",
        published=10.67,
        ours=11.2,
        tolerance=0.6,
        basis="read off",
        note="where dense ends: the least, not the most; 13 to 23 times between",
    ),
    Finding(
        id="block_long_cot_ratio",
        claim="block top-k saves 5.13 times with one answer of any length",
        where="Fig. 9b",
        unit="× at accuracy .7",
        published=5.13,
        ours=5.45,
        tolerance=0.4,
        basis="read off",
        note="its +38.5 points are 37.6 to 38.1 as drawn; with Best-of-N (Fig. 9a) +45 points are 45.0 to "
        "46.2, and 8.58 times 7.9 to 8.2, on a step",
    ),
)
UNANSWERED = (
    Finding(
        id="larger_of_the_two",
        claim="with the larger of compute and memory as cost, dense pays 15.71 times as much",
        where="App. A.1",
        unit="×",
        published=15.71,
        basis="traces",
        note="kinetics law --traces=FILES --cost_mode=reference --overlap=max --frontier=paper",
    ),
    Finding(
        id="threshold_of_r1",
        claim="for the DeepSeek distillations the threshold is 7B",
        where="App. B.2",
        unit="model with the widest band",
        published="7B",
        basis="traces",
        note="kinetics law --traces=FILES --models=r1-distill --cost_mode=reference --frontier=paper",
    ),
    Finding(
        id="throughput",
        claim="block top-k decodes Qwen3-0.6B up to 26 times as fast as dense attention",
        where="§5.2, Fig. 10",
        unit="×",
        published=26.2,
        basis="a chip",
        note="the time of one decoder layer, at a batch that does not fit; on a chip, decode one model "
        "densely and sparsely at a batch that fits: kinetics sweep",
    ),
)
