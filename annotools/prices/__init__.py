"""Labels have prices: an image's content takes actions, and actions take time."""
