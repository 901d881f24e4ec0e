"""New tokens → the paged cache, in place, with the summaries of the pages they touch."""
