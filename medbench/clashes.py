"""Our packages win over others of the same names in the working directory or on PYTHONPATH; imports none of them."""

import sys
import warnings
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path


def claim_names() -> None:
    """Import our packages if others hide them; ImportError (for a command: exit code 2) if others are imported."""
    command = sys.argv[0] == "-m" or Path(sys.argv[0]).stem == "medbench"
    for name in ("reports", "tasks", "training", "harness"):
        ours = PathFinder.find_spec(name, [str(Path(__file__).parent.parent)])
        loaded = sys.modules.get(name)
        other = getattr(loaded, "__file__", None) if loaded else getattr(find_spec(name), "origin", None)
        if not ours or not ours.loader or (other and Path(other).resolve() == Path(ours.origin or "").resolve()):
            continue
        if loaded:
            message = f"medbench: {other or name} hides medbench's own package '{name}'; rename it, or"
            message += " run the command medbench in a process that does not import it"
            if command:
                sys.stderr.write(f"{message}\n")
                sys.exit(2)
            raise ImportError(message)
        sys.modules[name] = module_from_spec(ours)
        ours.loader.exec_module(sys.modules[name])
        if other and not command:
            warnings.warn(f"'{name}' is medbench's package now, not {other}: rename that to import both", stacklevel=3)
