"""Slurm as an engine: attempts are submitted on a login node, and run wherever Slurm starts them."""
