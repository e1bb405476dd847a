"""Pseudo-labels of a whole split: a folder of label maps, and how good they are."""
