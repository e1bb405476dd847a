"""Each module lists the categories of a dataset whose files do not."""
