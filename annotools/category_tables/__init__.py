"""The categories of datasets whose files do not list them, one module each."""
