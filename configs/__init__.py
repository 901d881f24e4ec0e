"""One file per experiment: a function that returns a config object; nothing runs at import."""
