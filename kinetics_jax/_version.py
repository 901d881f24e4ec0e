"""The one place that holds the version; setup.cfg and every results file read it from here."""

__version__ = "0.1.0"
