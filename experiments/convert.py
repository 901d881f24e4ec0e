"""``python -m experiments.convert`` is ``kinetics convert``."""

from kinetics_jax.cli.convert import command

if __name__ == "__main__":
    command()
