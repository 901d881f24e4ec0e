"""``python -m experiments.sweep`` is ``kinetics sweep``."""

from kinetics_jax.cli.sweep import command

if __name__ == "__main__":
    command()
