"""Pictures of what is here: a file, a directory, a collection of maps.

matplotlib, nilearn and nibabel are imported when something is drawn, not before.
"""

from __future__ import annotations

from neurofetch.pictures.front import Drawn, show

__all__ = ["Drawn", "show"]
