"""Decode attention over listed pages."""
