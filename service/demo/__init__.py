"""A gallery of synthetic people, drawn by code, and the demonstration that searches it."""
