"""One module per task, named like it, with ``load(path, limit) -> Task``; see docs/tasks.md."""
