"""A budget and a mix of label kinds give each image its label."""
