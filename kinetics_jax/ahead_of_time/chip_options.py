"""Compiler options that one kind of chip needs: give them to ``jax.jit`` with the step that runs there."""

import jax

CompilerOptions = dict[str, bool | str]

# TPU7x: arguments arrive in tiles of 8×128, but the compiler would have 16-bit matrices in tiles of 16×128,
# and so copies every weight wider than 128 whole, before the layers, at every step (28 of 82 GiB for
# Qwen3-235B-A22B on 16 devices). Without the larger tiles the copies are gone.
_BY_KIND: dict[str, CompilerOptions] = {"TPU7x": {"xla_tpu_control_large_2nd_minor_layout_for_x16": False}}


def compiler_options(device: jax.Device) -> CompilerOptions:
    """``compiler_options`` of ``jax.jit`` (or of ``Lowered.compile``) for steps on such devices.

    Empty for most. They change memory and time, not what is computed. Found by compiling ahead of time with
    libtpu 0.0.42, not by running on the chip.
    """
    return dict(_BY_KIND.get(device.device_kind, {}))
