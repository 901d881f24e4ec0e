"""``python -m experiments.fit_efficiency`` is ``kinetics fit-efficiency``."""

from kinetics_jax.cli.fit_efficiency import command

if __name__ == "__main__":
    command()
