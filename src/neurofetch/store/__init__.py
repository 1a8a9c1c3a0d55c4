"""The data directory: what is here, receipts, partial files, claims, audits."""

from neurofetch._platform import check_platform

check_platform()  # all that touches a disk imports this first
