"""The errors of the access service, by the names that scripts for the public package import.

Nothing is defined here: import from `laion_fmri.errors` in new code.
"""

from __future__ import annotations

from laion_fmri.errors import AccessError as AccessServiceError
from laion_fmri.errors import AccessRevokedError, TermsOutdatedError
from laion_fmri.errors import UnknownRequestError as AccessNotFoundError

__all__ = ["AccessNotFoundError", "AccessRevokedError", "AccessServiceError", "TermsOutdatedError"]
