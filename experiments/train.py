"""``python -m experiments.train`` is ``kinetics train``."""

from kinetics_jax.cli.train import command

if __name__ == "__main__":
    command()
