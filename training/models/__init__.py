"""Bases and adapters: found, checked as if from strangers, and loaded."""
