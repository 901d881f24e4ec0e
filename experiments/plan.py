"""``python -m experiments.plan`` is ``kinetics plan``."""

from kinetics_jax.cli.plan import command

if __name__ == "__main__":
    command()
