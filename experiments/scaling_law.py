"""``python -m experiments.scaling_law`` is ``kinetics law``."""

from kinetics_jax.cli.law import command

if __name__ == "__main__":
    command()
