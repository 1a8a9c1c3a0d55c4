"""The names of ``nilearn.datasets`` that neurofetch has: only the package name of a script changes.

>>> from neurofetch.datasets import fetch_neurovault_ids
"""

from neurofetch.neurovault import fetch_neurovault, fetch_neurovault_ids

__all__ = ["fetch_neurovault", "fetch_neurovault_ids"]
