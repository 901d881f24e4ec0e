"""Sampling, stop rules and the loop that decodes many long samples at once."""
