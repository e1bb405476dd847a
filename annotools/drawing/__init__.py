"""Draw images next to their labels."""
