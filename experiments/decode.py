"""``python -m experiments.decode`` is ``kinetics decode``."""

from kinetics_jax.cli.decode import command

if __name__ == "__main__":
    command()
