"""Trials: planned, run as processes of their own by an engine, and what became of them."""
