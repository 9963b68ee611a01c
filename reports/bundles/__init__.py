"""Bundles: folders with the data sets and models of a run, for machines without a network."""
