"""``python -m experiments.fit_table`` is ``kinetics fit-table``."""

from kinetics_jax.cli.fit_table import command

if __name__ == "__main__":
    command()
