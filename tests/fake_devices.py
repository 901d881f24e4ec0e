"""Eight fake CPU devices for tests of sharding. Call before JAX starts its back end."""

import os

_FLAG = "--xla_force_host_platform_device_count=8"


def pretend() -> None:
    """Set what JAX reads when it starts."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}"
