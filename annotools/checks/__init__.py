"""Checks collect everything that is wrong with a dataset; they do not stop at the first."""
