"""What a run will do, before it does: models, tasks, items, leakage, the engine, and how long it takes."""
