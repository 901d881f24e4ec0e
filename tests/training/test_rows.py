"""Training rows: what is learnt is true, and never from another split's problems."""

import numpy as np
import pytest

from kinetics_jax.tasks.registers import END, REGISTERS, Machine, address, value
from kinetics_jax.training.rows import KINDS, ROUND_TOKENS, TracePool, _entries, look_up_rows

VALUE_READ = KINDS.index("value_read")


@pytest.fixture(scope="module")
def pool():
    return TracePool(np.random.default_rng(0), Machine(), size=600, steps=480)


def batches(pool):
    draw = np.random.default_rng(1)
    return {
        "look_up": look_up_rows(draw, 40, 12, 12),
        "short": pool.short(draw, 40, 16),
        "rounds": pool.rounds(draw, 40, 32),
        "whole rounds": pool.rounds(draw, 40, REGISTERS),
        "long": pool.long(draw, 10, 1024, 256),
    }


def test_every_learnt_read_can_be_answered_from_its_row(pool):
    for name, rows in batches(pool).items():
        entry = rows.entry_bts if rows.entry_bts is not None else _entries(rows)
        asked = (rows.weight_bt > 0) & (rows.kind_bt == VALUE_READ)
        assert asked.any() == (name != "short"), name
        assert entry.any(axis=-1)[asked].all(), name
        b, t, s = np.nonzero(entry)
        assert (rows.token_bt[b, s] == rows.target_bt[b, t]).all(), name
        stale = 0
        if name in ("look_up", "rounds", "whole rounds", "long"):
            before = np.roll(rows.token_bt, 1, axis=1)
            same = before[:, None, :] == rows.token_bt[:, :, None]
            far = rows.position_bt[:, :, None] - rows.position_bt[:, None, :] >= 2 * ROUND_TOKENS
            stale = (same & far & asked[:, :, None]).sum()
            assert stale > 0, f"{name}: no overwritten version is there to be told apart"


def test_learnt_steps_are_the_machines(pool):
    """Read address, write address and value written follow from the three tokens before each."""
    table = Machine().table
    for name, rows in batches(pool).items():
        if name == "look_up":
            continue
        for b, t in zip(*np.nonzero(rows.weight_bt), strict=True):
            last, target, kind = (rows.token_bt[b, t], rows.target_bt[b, t], KINDS[rows.kind_bt[b, t]])
            if kind == "end":
                assert target == END
            elif kind == "read_address":
                assert (target - address(0, 0)) % REGISTERS == last - value(0)
            elif kind == "write_address" and t >= 3:
                modulo = 3 * REGISTERS
                wrote = rows.token_bt[b, t - 3] - address(0, 0)
                assert (target - address(0, 0)) % modulo == (wrote + 1) % modulo
            elif kind == "value_written" and t >= 1:
                k = (last - address(0, 0)) % REGISTERS
                w = table[rows.token_bt[b, t - 1] - value(0), k % 32]
                assert target == (value(w) if w >= 0 else 2)


def test_positions_are_where_the_tokens_stood(pool):
    rows = pool.long(np.random.default_rng(2), 20, 512, 256)
    assert (np.diff(rows.position_bt, axis=1) == 1).all()
    assert rows.position_bt.max() > 1500
    assert (rows.weight_bt[:, :-256] == 0).all()
    rows = pool.rounds(np.random.default_rng(3), 50, 32)
    distance = rows.position_bt[:, -1] - rows.position_bt[:, 2 * REGISTERS]
    assert (distance < 2 * ROUND_TOKENS).all()


def test_rows_depend_on_the_draw_alone(pool):
    one, two = (pool.rounds(np.random.default_rng(5), 4, 32) for _ in range(2))
    assert (one.token_bt == two.token_bt).all()
    assert (one.position_bt == two.position_bt).all()
