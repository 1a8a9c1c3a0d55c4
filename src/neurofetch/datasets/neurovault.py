"""The names of ``nilearn.datasets.neurovault``: functions, and the values that filters are made of.

>>> from neurofetch.datasets.neurovault import Contains, NotNull
"""

from neurofetch.neurovault import (
    Contains,
    GreaterOrEqual,
    GreaterThan,
    IsIn,
    IsNull,
    LessOrEqual,
    LessThan,
    NotContains,
    NotEqual,
    NotIn,
    NotNull,
    Pattern,
    ResultFilter,
    basic_collection_terms,
    basic_image_terms,
    fetch_neurovault,
    fetch_neurovault_auditory_computation_task,
    fetch_neurovault_ids,
    fetch_neurovault_motor_task,
    neurosynth_words_vectorized,
)

__all__ = [
    "Contains",
    "GreaterOrEqual",
    "GreaterThan",
    "IsIn",
    "IsNull",
    "LessOrEqual",
    "LessThan",
    "NotContains",
    "NotEqual",
    "NotIn",
    "NotNull",
    "Pattern",
    "ResultFilter",
    "basic_collection_terms",
    "basic_image_terms",
    "fetch_neurovault",
    "fetch_neurovault_auditory_computation_task",
    "fetch_neurovault_ids",
    "fetch_neurovault_motor_task",
    "neurosynth_words_vectorized",
]
