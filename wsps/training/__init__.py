"""The networks are trained here, stage by stage."""
