"""What a run will do, before it does: names of models, tasks, items, and leakage."""
