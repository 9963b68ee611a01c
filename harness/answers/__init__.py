"""Answers kept across runs: the store, what decides an answer, and the engine that looks there first."""
