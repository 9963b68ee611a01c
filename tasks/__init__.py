"""What is asked and how it is judged: data sets, answer formats, lm-eval task configurations and metrics."""
