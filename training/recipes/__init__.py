"""Recipes: what one may say, how a file is read, and those that ship with medbench."""
