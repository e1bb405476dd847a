"""The built-in world: procedural street scenes with exact labels."""
