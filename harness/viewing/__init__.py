"""`medbench view`: finds the runs below a folder and serves a page of them to this machine's browser."""
