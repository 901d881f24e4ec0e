"""``python -m experiments.paper`` is ``kinetics paper``."""

from kinetics_jax.cli.paper import command

if __name__ == "__main__":
    command()
