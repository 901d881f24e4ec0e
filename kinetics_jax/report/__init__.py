"""Results drawn and written: tables, figures, one self-contained page. Computes nothing.

Matplotlib is imported when the first figure is drawn.
"""

from kinetics_jax.report.directory import check_out_dir
from kinetics_jax.report.summary import summary_table
from kinetics_jax.report.write import write_results

__all__ = ["check_out_dir", "summary_table", "write_results"]
