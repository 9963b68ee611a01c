"""A run as a whole: its stages, its results document, several seeds, and ratings by people."""
