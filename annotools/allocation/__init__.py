"""A budget is spent on a mix of label kinds: each image gets its label, or none."""
