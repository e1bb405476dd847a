"""One pass over a dataset that writes the cheaper labels one could have bought instead."""
