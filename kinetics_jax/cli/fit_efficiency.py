"""Constants of calibrated prices, from public kernel timings: ``kinetics fit-efficiency --data=… --out=…``.

The file is of the form of ``kinetics_jax/chips/efficiency.toml``: for each kind of kernel, number format and
chip a floor, shares of the data sheet, and the error on shapes and on chips that were kept apart.
"""

from kinetics_jax import storage
from kinetics_jax.calibration import as_toml, fit_all
from kinetics_jax.chips.efficiency import SHARED, UNSEEN
from kinetics_jax.commands.flags import Flags
from kinetics_jax.commands.main import Command
from kinetics_jax.errors import InputError

flags = Flags()
_DATA = flags.DEFINE_string(
    "data", "", "Folder of gemm.csv.gz, moe.csv.gz, decode_attention.csv.gz, … (docs/calibration.md)."
)
_OUT = flags.DEFINE_string("out", "", "TOML file to write the constants to.")
_SOURCE = flags.DEFINE_string(
    "source", "", "Whose timings they are, and of when: written beside each constant."
)
_HEAD = (
    "What kernels were seen to reach of the data sheets in chips.toml, made by",
    "python -m experiments.fit_efficiency --data=… and never by hand; docs/calibration.md says how.",
    "",
    "Times in microseconds a call; compute and bandwidth are shares of the data sheet's figures (bandwidth",
    "of the links' for all_reduce); cached is the share that a loop sees whose operands stay in a cache.",
    "error is the mean of |predicted ÷ measured − 1| on shapes kept apart, low and high are measured ÷",
    f"predicted that one in twenty is below and above. {SHARED}: all chips fitted together; {UNSEEN}: each",
    "chip by the others.",
)


def main(_: list[str]) -> None:
    """Fit, write the file, and say how far the constants are off."""
    for name, value in (("data", _DATA.value), ("out", _OUT.value), ("source", _SOURCE.value)):
        if not value:
            raise InputError(f"--{name} is needed: see kinetics fit-efficiency --help")
    file = storage.output_file(_OUT.value, "--out")
    found = fit_all(storage.input_path(_DATA.value, "--data", folder=True), _SOURCE.value)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(as_toml(found, _HEAD), encoding="utf-8")
    print(f"{'chip':14} {'kernel':18} {'format':10} {'rows':>6} {'error':>7}  90 % of measured ÷ predicted")
    for chip, ops in found.items():
        for op, by_form in ops.items():
            for form, eff in by_form.items():
                off = f"{100 * eff.error:.1f} %"
                print(f"{chip:14} {op:18} {form:10} {eff.rows:6,} {off:>7}  {eff.low:.2f} … {eff.high:.2f}")


command = Command(about=__doc__, flags=flags, main=main)
