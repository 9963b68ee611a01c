"""What trains a job: TRL in this process, Unsloth in one of its own."""
