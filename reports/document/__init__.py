"""The results document and the samples: their schema, and reading them back."""
