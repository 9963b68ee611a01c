"""Statistics: figures with intervals, paired comparisons, noise, the verdict, several runs, and what differs."""
