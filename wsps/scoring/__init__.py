"""Files of results come in, scores come out."""
