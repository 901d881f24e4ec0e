"""A sweep's directory while a run is at work in it: made, locked, checked and described."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from kinetics_jax.errors import InputError
from kinetics_jax.storage import Place, place
from kinetics_jax.storage.line_log import PathLike
from kinetics_jax.storage.run_lock import DirectoryLock
from kinetics_jax.sweep import manifest
from kinetics_jax.sweep.digests import FileDigests
from kinetics_jax.sweep.distributed import meet
from kinetics_jax.sweep.shares import Share


class SweepDirectory:
    """Entered, it is the description of what the samples are made with, the same on all processes."""

    def __init__(
        self,
        root: PathLike,
        describe: Callable[..., dict[str, Any]],
        share: Share,
        settings: Mapping[str, Any],
    ) -> None:
        """``describe`` is ``manifest.describe`` of the experiment; it is asked once the directory is locked.

        Entering raises ``InputError`` where the directory holds something else or is in use.
        """
        self._root, self._make, self._share = root, describe, share
        self._settings, self._files = settings, FileDigests()

    def __enter__(self) -> dict[str, Any]:
        root, self._lock = place(self._root), None
        manifest.check_place(root)  # before anything is put there
        if self._share.leads:
            try:
                root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"{root}: cannot be made ({error.strerror or error})") from None
            self._lock = DirectoryLock(root)
        try:
            described = self._describe(root)
            if self._share.leads:
                manifest.write(root, described, self._files)
                manifest.note_session(root, settings=self._settings, **_devices(self._share))
            meet("directory", self._share)
            # A hub name is at the revision that the first process has found.
            return described if self._share.leads else self._describe(root)
        except BaseException:
            self.__exit__()
            raise

    def _describe(self, root: Place) -> dict[str, Any]:
        earlier = None
        if manifest.check_place(root):
            earlier = manifest.read(root)
            self._files.add(manifest.known_files(root))
        described = self._make(earlier=earlier, files=self._files)
        manifest.check(root, described)
        return described

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()


def _devices(share: Share) -> dict[str, Any]:
    """The accelerators at work, where JAX has been started; else nothing is said of them."""
    if "jax" not in sys.modules:
        return {}
    import jax

    kinds = [f"{device.platform}: {device.device_kind}" for device in jax.devices()]
    return {"devices": {kind: kinds.count(kind) for kind in kinds}, "processes": share.processes}
