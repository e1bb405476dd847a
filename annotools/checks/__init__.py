"""Everything that can be wrong with a dataset, collected, not raised."""
