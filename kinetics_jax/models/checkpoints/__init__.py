"""Weights in files: safetensors folders, GGUF and Orbax, read and written region by region."""
