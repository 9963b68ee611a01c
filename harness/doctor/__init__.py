"""`medbench doctor`: what a run needs of this machine, and the bundle for a bug report."""
