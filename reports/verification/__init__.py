"""Equivalence of a deployed model to the evaluated one, and the certificate that says so."""
