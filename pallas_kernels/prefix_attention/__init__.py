"""Decode attention of many samples of one prompt: the prompt's pages are read once for all of them."""
