"""`medbench judge`: rubric files, the judge on a server or this machine, and the judging of a run's answers."""
