"""The fidelity table in Markdown: policies down, contexts across, one table per text."""

from collections.abc import Sequence

from kinetics_jax.fidelity.intervals import FidelityRow
from kinetics_jax.policies import Policy


def markdown(rows: Sequence[FidelityRow]) -> str:
    """One table per text: tokens read, then for each context KL with its interval, and the rest."""
    return "\n".join(
        _table(text, [row for row in rows if row.text == text])
        for text in dict.fromkeys(row.text for row in rows)
    )


def _table(text: str, rows: Sequence[FidelityRow]) -> str:
    contexts = list(dict.fromkeys(row.context for row in rows))
    policies = list(dict.fromkeys(row.policy for row in rows))
    at = {(row.context, row.policy): row for row in rows}
    perplexities = (f"{at[c, policies[0]].dense_perplexity:.2f} at {c:,}" for c in contexts)
    head = ["policy", "read"]
    for context in contexts:
        head += [f"KL at {context:,}", "ppl ×", "same"]
    title = f"**{text}**, {rows[0].passages} passages; dense perplexity {', '.join(perplexities)}"
    lines = [title, "", _line(head), "|---" * len(head) + "|"]
    for policy in policies:
        cells = [_label(policy), f"{at[contexts[-1], policy].kv_reads:.0f}"]
        for context in contexts:
            row = at[context, policy]
            cells += [_with_interval(row), f"{row.perplexity_ratio:.3f}", f"{row.agreement:.1%}"]
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def _with_interval(row: FidelityRow) -> str:
    ends = row.kl_interval
    return f"{row.kl:.4f}" + ("" if ends is None else f" ({ends.low:.4f}…{ends.high:.4f})")


def _label(policy: Policy) -> str:
    """The policy's own label, and how many first layers stay dense where that is not the usual one."""
    usual = policy.kv_budget is None or policy.num_dense_layers == 1
    return policy.label if usual else f"{policy.label}, {policy.num_dense_layers} dense layers"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
