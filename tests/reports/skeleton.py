"""Results documents of which only the parts matter that a test gives."""

from reports.document.schema import Results


def results_of(**parts):
    """Results of models that are compared with `base`, with these parts and nothing else."""
    empty = {"medbench_version": "0", "name": "run", "created": "", "command": "", "seed": 0, "baseline": "base"}
    return Results(**(empty | {"recipe": {}, "environment": {}, "models": [], "data": []} | parts))
