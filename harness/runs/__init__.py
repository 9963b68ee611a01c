"""A run as a whole: its stages, its results document, several seeds or settings, and ratings by people."""
