"""The errors of `laion_fmri.errors`, by the name of the module that older scripts import.

Nothing is defined here: import from `laion_fmri.errors` in new code.
"""

from __future__ import annotations

from laion_fmri.errors import *  # noqa: F403 - all of them, and no others
from laion_fmri.errors import __all__ as __all__  # noqa: PLC0414 - typed as exported
