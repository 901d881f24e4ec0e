"""Page scores → the list of pages to read."""
