"""How the files of a workflow name what is on a server."""

from __future__ import annotations

from neurofetch.errors import UsageError
from neurofetch.opening.address import PROTOCOL, Address, parse_address, stripped

__all__ = ["parsed", "spelled", "suffix_of"]

_FORMS = (
    f"{PROTOCOL}://openneuro/ACCESSION@VERSION/PATH, {PROTOCOL}://s3/BUCKET/KEY or "
    "openneuro:ACCESSION@VERSION/PATH"
)
_KINDS = {"openneuro": "openneuro:", "s3": "s3://"}


def parsed(query: str) -> Address:
    """Return what a query names; wildcards (``{subject}``) may stand in the path alone.

    Parameters
    ----------
    query : str

    Raises
    ------
    UsageError
        If it is none of these forms, or names no file.

    Examples
    --------
    >>> parsed("neurofetch://openneuro/ds000001@1.0.0/sub-{sub}/anat/sub-{sub}_T1w.nii.gz").place
    'ds000001@1.0.0'
    >>> parsed("neurofetch://s3/openneuro.org/ds000001/README").place
    'openneuro.org'
    """
    ours = query.startswith((f"{PROTOCOL}://", "openneuro:"))
    text = stripped(query)
    kind, slash, rest = text.partition("/")
    if query.startswith(f"{PROTOCOL}://") and slash and kind in _KINDS:
        text = _KINDS[kind] + rest
    if not ours or not text.startswith(tuple(_KINDS.values())):
        msg = f"{query!r} names no file that neurofetch can bring. Write {_FORMS}."
        raise UsageError(msg)
    place = text.partition(":")[2].lstrip("/").partition("/")[0]
    if "{" in place or "}" in place:
        msg = f"the data set or bucket in {query!r} is no wildcard. Write its name."
        raise UsageError(msg)
    found = parse_address(text)
    if not found.key.strip("/"):
        msg = f"{query!r} names all of {found.name}. Name a file or a folder in it."
        raise UsageError(msg)
    if not {"", ".", ".."}.isdisjoint(found.key.rstrip("/").split("/")):
        msg = f"the path in {query!r} leads through an empty name, '.' or '..'. Write it without."
        raise UsageError(msg)
    return found


def spelled(address: Address) -> str:
    """Return a query in the one way in which it is written.

    Examples
    --------
    >>> spelled(parsed("openneuro:ds000001@1.0.0/README"))
    'neurofetch://openneuro/ds000001@1.0.0/README'
    """
    return f"{PROTOCOL}://{suffix_of(address)}"


def suffix_of(address: Address) -> str:
    """Return the path under which it is kept."""
    return f"{address.kind}/{address.place}/{address.key.rstrip('/')}"
