"""absl `app.run` mains, thin: parse flags, call the library, say where the output is."""
