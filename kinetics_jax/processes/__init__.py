"""Child processes: those that answer a line with a line. What they are asked is not known here."""

from kinetics_jax.processes.lines import end, ending, read_line

__all__ = ["end", "ending", "read_line"]
