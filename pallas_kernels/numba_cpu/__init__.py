"""Every op for CPUs: what XLA is told to call, and in ``kernels`` the Python that numba compiles.

Only ``kernels`` imports numba, when the first kernel is called; without it CPUs run what XLA makes of an op.
"""
