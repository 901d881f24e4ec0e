"""``python -m experiments.validate_prices`` is ``kinetics validate-prices``."""

from kinetics_jax.cli.validate_prices import command

if __name__ == "__main__":
    command()
