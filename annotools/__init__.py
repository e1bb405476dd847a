"""This package reads datasets, makes the labels one could buy instead, and prices them."""

__version__ = "0.1.0"
