"""The version of medbench, kept in one place for the package, the reports and the results document."""

__version__ = "0.1.0"
