"""Data sets, answer formats, lm-eval task configurations and metrics."""
