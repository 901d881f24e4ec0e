"""Child processes: those that answer a line with a line, and those that share work."""

from kinetics_jax.processes.lines import end, ending, read_line
from kinetics_jax.processes.sharing import map_in_processes

__all__ = ["end", "ending", "map_in_processes", "read_line"]
