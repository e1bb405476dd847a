"""Score files of results: files in, scores out."""
