"""Names of `laion_fmri._constants` that scripts for the public package import.

The texts are this package's own; the licence they tell of is that of the data.
"""

from __future__ import annotations

import os

from laion_fmri._dataset import subject_label
from laion_fmri._license import PHRASE, TEXT
from laion_fmri.access.service import URL as _SERVICE
from laion_fmri.access.service import VARIABLE as _SERVICE_VARIABLE
from laion_fmri.errors import SubjectNotFoundError
from neurofetch.errors import UsageError

__all__ = [
    "ACCESS_SERVICE_URL",
    "LICENSE_AGREEMENT_BODY",
    "LICENSE_AGREEMENT_PROMPT",
    "LICENSE_AGREEMENT_TEXT",
    "STIMULI_LICENSE_BODY",
    "STIMULI_LICENSE_PROMPT",
    "STIMULI_LICENSE_TEXT",
    "TERMS_OF_USE_TEXT",
    "resolve_subject_id",
]

ACCESS_SERVICE_URL = (os.environ.get(_SERVICE_VARIABLE, "").strip() or _SERVICE).rstrip("/")
"""The access service of the stimuli, as the environment named it when this was imported."""

LICENSE_AGREEMENT_BODY = TEXT
"""What the licence of the data is."""
LICENSE_AGREEMENT_PROMPT = f"Type {PHRASE} to continue: "
LICENSE_AGREEMENT_TEXT = LICENSE_AGREEMENT_BODY + LICENSE_AGREEMENT_PROMPT

STIMULI_LICENSE_BODY = (
    "The stimulus pictures have terms of their own: you request access to them once, at the\n"
    f"access service of the dataset's owners ({_SERVICE}), where you can read\n"
    "the terms in force and the privacy notice.\n"
)
"""What holds for the stimulus pictures; the terms themselves are the access service's."""
STIMULI_LICENSE_PROMPT = "Request access with: laion-fmri request-access\n"
STIMULI_LICENSE_TEXT = STIMULI_LICENSE_BODY + STIMULI_LICENSE_PROMPT
TERMS_OF_USE_TEXT = LICENSE_AGREEMENT_BODY + STIMULI_LICENSE_BODY


def resolve_subject_id(subject: object) -> str:
    """Return a subject's full name; whether there is such a subject is not looked up.

    Parameters
    ----------
    subject : str
        ``"sub-01"`` or ``"01"``.

    Returns
    -------
    str
        Such as ``"sub-01"``.

    Raises
    ------
    TypeError
        If it is no text.
    SubjectNotFoundError
        If it is empty, or cannot be a subject.

    Examples
    --------
    >>> resolve_subject_id("01"), resolve_subject_id("sub-01")
    ('sub-01', 'sub-01')
    """
    if not isinstance(subject, str):
        msg = f"a subject is text such as 'sub-03' or '03', not {subject!r}"
        raise TypeError(msg)
    try:
        return subject_label(subject)
    except UsageError:
        msg = f"{subject!r} is not a subject: expected its BIDS name, such as 'sub-03' or '03'."
        raise SubjectNotFoundError(msg) from None  # without "or 'all'", which a download takes
