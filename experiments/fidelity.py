"""``python -m experiments.fidelity`` is ``kinetics fidelity``."""

from kinetics_jax.cli.fidelity import command

if __name__ == "__main__":
    command()
