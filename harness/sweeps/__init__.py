"""Several runs side by side: compared as they are, or every combination of some settings run first."""
