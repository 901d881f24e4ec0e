"""Everything a run leaves behind, written as one directory that is there whole or not at all."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from kinetics_jax.errors import InputError
from kinetics_jax.report.deployments import write_sensitivity_csv
from kinetics_jax.report.directory import MANIFEST, whole_directory
from kinetics_jax.report.figures import draw_all
from kinetics_jax.report.page import render_page
from kinetics_jax.report.prices import write_break_even_csv, write_moves_csv
from kinetics_jax.report.tables import write_frontier_csv, write_law_json
from kinetics_jax.scaling.law.results import Results

PAGE = "report.html"
FRONTIER = "frontier.csv"
SENSITIVITY = "sensitivity.csv"
"""Written where a run looked at other deployments."""
MOVES, BREAK_EVEN = "prices.csv", "break_even.csv"
"""Written where a run looked at both kinds of prices, and at calibrated ones."""
FIGURES = "figures"


def write_results(
    results: Results,
    out_dir: str | os.PathLike[str],
    extra_files: Mapping[str, Callable[[TextIO], None]] | None = None,
) -> list[Path]:
    """Write ``law.json``, ``frontier.csv``, ``figures/`` and ``report.html``.

    The directory is built beside its place and renamed into it when all of it is on the disk. An earlier
    result there is replaced; on any failure it stays as it was.

    Args:
        results: what the run found.
        out_dir: directory to make; missing parents are made too.
        extra_files: further files by plain name, each written by a function of the open text file.

    Returns:
        The files written, in ``out_dir``.

    Raises:
        InputError: ``out_dir`` holds something else or cannot be made, or an extra file's name will not do.
    """
    extra = dict(extra_files or {})
    _check_names(extra)
    drawings = draw_all(results)
    with whole_directory(out_dir) as folder:
        (folder / FIGURES).mkdir()
        files = [*extra, FRONTIER, PAGE]
        for stem, drawing in drawings.items():
            for ending, content in (("png", drawing.png), ("svg", drawing.svg)):
                files.append(f"{FIGURES}/{stem}.{ending}")
                (folder / files[-1]).write_bytes(content)
        with _text(folder / PAGE) as stream:
            stream.write(render_page(results, drawings))
        with _text(folder / FRONTIER) as stream:
            write_frontier_csv(results, stream)
        for name, there, write_csv in (
            (SENSITIVITY, results.sensitivity, write_sensitivity_csv),
            (MOVES, results.price_moves, write_moves_csv),
            (BREAK_EVEN, results.break_even, write_break_even_csv),
        ):
            if there:
                files.append(name)
                with _text(folder / name) as stream:
                    write_csv(results, stream)
        for name, write in extra.items():
            with _text(folder / name) as stream:
                write(stream)
        with _text(folder / MANIFEST) as stream:
            write_law_json(results, files, stream)
    return [Path(out_dir) / name for name in (MANIFEST, *files)]


def _text(path: Path) -> TextIO:
    """A new UTF-8 file; what UTF-8 lacks (lone surrogates of odd file names) is written as an escape."""
    return open(path, "x", encoding="utf-8", errors="backslashreplace", newline="")


def _check_names(extra: Mapping[str, object]) -> None:
    taken = (MANIFEST, FRONTIER, SENSITIVITY, MOVES, BREAK_EVEN, PAGE, FIGURES, "")
    for name in extra:
        if name in taken or name != Path(name).name or name.startswith("."):
            raise InputError(f"extra file {name!r}: give a plain file name that the report does not use")
