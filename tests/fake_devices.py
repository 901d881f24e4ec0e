"""Fake CPU devices for tests of sharding. Call before JAX starts its back end."""

import os


def pretend(devices: int = 8) -> None:
    """Set what JAX reads when it starts."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        flag = f"--xla_force_host_platform_device_count={devices}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"
