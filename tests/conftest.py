"""Settings that all tests share."""

import os

from hypothesis import settings

# No deadlines: the machine may be busy, and speed is the benchmarks' business. In continuous
# integration the examples are the same in every run, so that a red run can be repeated; at a desk
# they are new ones each time, so that something can be found.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
