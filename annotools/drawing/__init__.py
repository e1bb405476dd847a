"""Images drawn beside their labels."""
