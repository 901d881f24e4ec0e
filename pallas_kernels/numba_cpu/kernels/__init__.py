"""The kernels of `numba_cpu`: numba compiles them, XLA's threads call them. One file an op."""
