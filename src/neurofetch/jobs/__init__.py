"""Jobs of a batch system: submit an array of them, and follow them from the data directory."""

from neurofetch.jobs._cli import add_slurm, add_status, status, submitted, wrong_jobs

__all__ = ["add_slurm", "add_status", "status", "submitted", "wrong_jobs"]
