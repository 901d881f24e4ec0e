"""Pallas kernels for block-top-k sparse decode attention. Knows nothing of models, policies or flags."""
