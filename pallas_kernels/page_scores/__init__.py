"""Scores of a sequence's pages from their key summaries."""
