"""Where trials run: on this machine, on Ray, under Slurm."""
