"""From a full label to the cheaper labels one could have bought instead."""
