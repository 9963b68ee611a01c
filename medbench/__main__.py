"""The command `medbench`, also as `python -m medbench`."""

from medbench import main

main()
