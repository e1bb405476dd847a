"""The built-in world draws procedural street scenes with exact labels."""
