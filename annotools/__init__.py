"""Datasets, the labels one could buy instead, and what they cost."""

__version__ = "0.1.0"
