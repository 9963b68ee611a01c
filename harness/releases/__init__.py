"""What comes after a run: the gate and its baselines, exported models, and the way to the hub."""
