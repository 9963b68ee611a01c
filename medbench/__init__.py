"""medbench from Python."""

from medbench.clashes import claim_names

claim_names()
