"""Train the networks, stage by stage."""
