"""The command `medbench`, also as `python -m medbench`."""

from harness.__main__ import main

if __name__ == "__main__":
    main()
