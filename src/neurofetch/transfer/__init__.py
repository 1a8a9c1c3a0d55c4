"""Carry out a plan: the threads, the schedule, files in one piece, files in parts."""
