"""Who owns which page of a pool: a free list with reference counts. Host side, no arrays, no JAX."""

from collections.abc import Iterable

from kinetics_jax.errors import KineticsError


class PageError(KineticsError, RuntimeError):
    """The books do not balance: a page given back that nobody holds, or more taken than are free."""


class PagePool:
    """Pages 1 … size−1 of one pool. Page 0 is never given out: empty places of page tables point at it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._holders = [0] * size
        self._free = list(range(size - 1, 0, -1))  # the lowest page is taken first

    @property
    def free(self) -> int:
        """Pages that nobody holds."""
        return len(self._free)

    @property
    def in_use(self) -> int:
        """Pages that somebody holds."""
        return self.size - 1 - len(self._free)

    def take(self, count: int) -> list[int]:
        """``count`` free pages, each now held once."""
        if count > len(self._free):
            raise PageError(f"{count} pages wanted, {len(self._free)} of {self.size - 1} are free")
        taken = [self._free.pop() for _ in range(count)]
        for page in taken:
            self._holders[page] = 1
        return taken

    def share(self, pages: Iterable[int]) -> None:
        """One more holder of each page."""
        for page in pages:
            if not self._holders[page]:
                raise PageError(f"page {page} is free; it cannot be shared")
            self._holders[page] += 1

    def give_back(self, pages: Iterable[int]) -> None:
        """One holder less of each page; the last one frees it."""
        for page in pages:
            if not self._holders[page]:
                raise PageError(f"page {page} was given back by nobody who held it")
            self._holders[page] -= 1
            if not self._holders[page]:
                self._free.append(page)
