"""The commands of the wheel: ``kinetics law | sweep | …``. They parse flags and call the library."""
