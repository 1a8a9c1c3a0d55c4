"""The names of ``nilearn.datasets`` that neurofetch has: only the package name of a script changes.

>>> from neurofetch.datasets import fetch_neurovault_ids, neurovault
"""

from neurofetch.datasets import neurovault
from neurofetch.neurovault import (
    fetch_neurovault,
    fetch_neurovault_auditory_computation_task,
    fetch_neurovault_ids,
    fetch_neurovault_motor_task,
)

__all__ = [
    "fetch_neurovault",
    "fetch_neurovault_auditory_computation_task",
    "fetch_neurovault_ids",
    "fetch_neurovault_motor_task",
    "neurovault",
]
