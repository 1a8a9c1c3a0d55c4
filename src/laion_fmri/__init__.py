"""LAION-fMRI: download it, verify it, and load it as arrays.

Begin with `laion_fmri.download.download` and `laion_fmri.subject.load_subject`.
"""

from neurofetch import __version__

__all__ = ["__version__"]
