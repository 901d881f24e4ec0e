"""absl `app.run` mains, thin: parse flags, call the library, say where the output is."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m experiments.NAME` is about to load NAME and all it needs
    from kinetics_jax.commands.requirements import one_line_on_failed_imports

    one_line_on_failed_imports()
