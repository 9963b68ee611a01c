"""The command line: one file for each group of commands, each a thin call of the Python API."""
