"""Training backends: TRL in this process, Unsloth in a subprocess."""
