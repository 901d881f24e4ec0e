"""What setup.cfg cannot say: ``configs/`` of the checkout is installed within ``kinetics_jax``."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["kinetics_jax*", "pallas_kernels*"]), "kinetics_jax.configs"],
    package_dir={"kinetics_jax.configs": "configs"},
)
