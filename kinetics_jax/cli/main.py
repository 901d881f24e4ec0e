"""``kinetics COMMAND [flags]``: the console script of the wheel."""

import importlib
import sys

from kinetics_jax._version import __version__
from kinetics_jax.commands.requirements import one_line_on_failed_imports
from kinetics_jax.errors import UnknownNameError

COMMANDS = {
    "law": "From reasoning traces to the scaling law; without traces, of the built-in suite.",
    "paper": "The paper claim by claim: what it says, and what comes out here.",
    "plan": "What to run to answer a question with a given interval, and what it costs.",
    "sweep": "Decode, grade and price a whole experiment; resumable.",
    "decode": "Ask a model something.",
    "fidelity": "What sparse policies cost on real text.",
    "convert": "Hugging Face, GGUF and Orbax checkpoints into one another.",
    "train": "Train a tiny model of the built-in suite.",
    "fit-table": "Which model fits which TPU slice, asked of the TPU compiler.",
    "fit-efficiency": "Constants of calibrated prices from public kernel timings.",
    "validate-prices": "How far prices are off public measurements.",
    "doctor": "What is installed here, and which kernels run.",
}
_USAGE = "\n".join(
    [
        "kinetics COMMAND [flags]; kinetics COMMAND --help lists a command's flags.",
        "",
        *(f"  {name:15} {text}" for name, text in COMMANDS.items()),
        "",
        f"kinetics-jax {__version__}",
    ]
)


def main() -> None:
    """Become the command that the first argument names; never returns."""
    one_line_on_failed_imports()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name.lstrip("-") in ("help", "helpshort", "h", "version"):
        print(_USAGE)
        sys.exit(0)
    if name not in COMMANDS:
        print(f"kinetics: {UnknownNameError('command', name, COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [name, *sys.argv[2:]]
    importlib.import_module(f"kinetics_jax.cli.{name.replace('-', '_')}").command()


if __name__ == "__main__":
    main()
