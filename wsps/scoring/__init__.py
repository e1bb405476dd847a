"""Result files in, scores out."""
