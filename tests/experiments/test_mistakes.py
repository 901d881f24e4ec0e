"""Two hundred and more mistakes: one line, the right exit code, nothing written, nothing destroyed.

A table names the flags as a shell would split them at spaces. ``$SCRATCH`` and its like stand there as a
config file or a quoted word passes them on.
"""

import re
import shutil

import pytest

from tests.experiments.mistakes import stage
from tests.experiments.mistakes.law import LAW
from tests.experiments.mistakes.models import CONVERT, DECODE, FIDELITY, FIT_TABLE, TRAIN
from tests.experiments.mistakes.sweeps import SWEEP

TABLES = {
    "scaling_law": LAW,
    "sweep": SWEEP,
    "decode": DECODE,
    "convert": CONVERT,
    "fidelity": FIDELITY,
    "train": TRAIN,
    "fit_table": FIT_TABLE,
}
ROWS = [(command, *row) for command, table in TABLES.items() for row in table]


class Stage:
    """The folder of the mistakes, built anew where one did damage, so that the next is judged alone."""

    def __init__(self, folder, *sources):
        self.folder, self._sources = folder, sources
        self._build()

    def _build(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        stage.build(self.folder, *self._sources)
        self._before = stage.fingerprint(self.folder)

    def changes(self) -> list[str]:
        """What is new, gone or different since it was built."""
        now = stage.fingerprint(self.folder)
        found = [name for name in {*now, *self._before} if now.get(name) != self._before.get(name)]
        if found:
            self._build()
        return sorted(found)


@pytest.fixture(scope="module")
def here(tmp_path_factory, tiny, some_traces):
    return Stage(tmp_path_factory.mktemp("mistakes") / "stage", tiny, some_traces)


def test_the_tables_hold_two_hundred():
    assert len(ROWS) >= 200
    assert len(set(ROWS)) == len(ROWS)


@pytest.mark.parametrize(("command", "flags", "says"), ROWS, ids=[f"{row[0]} {row[1]}"[:90] for row in ROWS])
def test_a_mistake_is_one_line_and_costs_nothing(command, flags, says, here, zygote):
    done = zygote(command, *flags.split(" ") if flags else (), cwd=here.folder)
    assert here.changes() == []
    lines = [line for line in done["err"].splitlines() if line.strip()]
    assert "Traceback" not in done["err"], done["err"]
    assert len(lines) == 1, done["err"] + done["out"]
    assert done["code"] == 2, lines
    assert re.search(says, lines[0]), lines[0]
