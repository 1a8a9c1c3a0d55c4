"""What is known of a data set of OpenNeuro: values, and how they are read from an answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DatasetInfo", "Derivative", "VersionInfo", "described"]


@dataclass(frozen=True)
class VersionInfo:
    """A version of a data set.

    Parameters
    ----------
    version : str
        Its tag, as in ``openneuro:ds000246@1.0.1``.
    created : str or None
        ISO 8601.
    deprecated : str or None
        Why its owners withdrew it; None where they did not.
    """

    version: str
    created: str | None = None
    deprecated: str | None = None


@dataclass(frozen=True)
class Derivative:
    """What OpenNeuro made of a data set, such as by fMRIPrep; a data set of its own.

    Parameters
    ----------
    name : str
    url : str or None
        The bucket and prefix, for `neurofetch.get`.
    """

    name: str
    url: str | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """A data set of OpenNeuro, as one of its versions is described.

    What the server does not say is None, or an empty tuple.

    Parameters
    ----------
    accession : str
        Such as ``ds000246``.
    name : str or None
    version : str or None
        The tag of the version that is described; None where there is only a draft.
    created, published : str or None
        When the version was made, and when the data set was published; ISO 8601.
    public : bool or None
    bytes_total, files_total : int or None
        Of the version.
    subjects, sessions, tasks, modalities : tuple of str
        As the BIDS validator found them, without ``sub-``, ``ses-`` and ``task-``.
    authors : tuple of str
    license, doi : str or None
        As the data set's own description has them.
    deprecated : str or None
        Why its owners withdrew the version; None where they did not.
    versions : tuple of VersionInfo
        All of them, the oldest first; only where one data set is asked for.
    derivatives : tuple of Derivative
        Only where one data set is asked for.
    notes : tuple of str
        What could not be found out, and why.
    """

    accession: str
    name: str | None = None
    version: str | None = None
    created: str | None = None
    published: str | None = None
    public: bool | None = None
    bytes_total: int | None = None
    files_total: int | None = None
    subjects: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    license: str | None = None
    doi: str | None = None
    deprecated: str | None = None
    versions: tuple[VersionInfo, ...] = ()
    derivatives: tuple[Derivative, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """What `neurofetch.get` takes for this version."""
        return f"openneuro:{self.accession}" + (f"@{self.version}" if self.version else "")

    def _repr_html_(self) -> str | None:
        from neurofetch.display.page import safely  # noqa: PLC0415 - for notebooks alone
        from neurofetch.openneuro.view import dataset_page  # noqa: PLC0415

        return safely(lambda: dataset_page(self))

    def to_dict(self) -> dict[str, Any]:
        """Return the words of docs/json.md and their values, for `json` and pandas.

        Returns
        -------
        dict
            Values that JSON can hold.
        """
        values: dict[str, Any] = {"source": self.source}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            values[name] = list(value) if isinstance(value, tuple) else value
        values["versions"] = [dict(vars(one)) for one in self.versions]
        values["derivatives"] = [dict(vars(one)) for one in self.derivatives]
        return values


def described(
    dataset: object, version: object = None, notes: tuple[str, ...] = ()
) -> DatasetInfo | None:
    """Return what an answer says of a data set; None where it says nothing.

    Parameters
    ----------
    dataset : dict
        The ``dataset`` or ``node`` of an answer: anything may be missing, or be of another kind.
    version : dict, optional
        Another version than its newest.
    notes : tuple of str
    """
    told = _fields(dataset)
    accession = _text(told.get("id"))
    if accession is None:
        return None
    snapshot = _fields(told.get("latestSnapshot") if version is None else version)
    said, summary = _fields(snapshot.get("description")), _fields(snapshot.get("summary"))
    tag = _text(snapshot.get("tag"))
    whole = _whole(snapshot.get("size"))
    return DatasetInfo(
        accession=accession,
        name=_text(said.get("Name")) or _text(told.get("name")),
        version=None if tag is None or _is_commit(tag) else tag,
        created=_text(snapshot.get("created")),
        published=_text(told.get("publishDate")) or _text(told.get("created")),
        public=told["public"] if isinstance(told.get("public"), bool) else None,
        bytes_total=_whole(summary.get("size")) if whole is None else whole,
        files_total=_whole(summary.get("totalFiles")),
        subjects=_texts(summary.get("subjects")),
        sessions=_texts(summary.get("sessions")),
        tasks=_texts(summary.get("tasks")),
        modalities=_texts(summary.get("modalities")),
        authors=_texts(said.get("Authors")),
        license=_text(said.get("License")),
        doi=_text(said.get("DatasetDOI")),
        deprecated=_reason(snapshot.get("deprecated")),
        versions=_versions(told.get("snapshots")),
        derivatives=_derivatives(told.get("derivatives")),
        notes=notes,
    )


def _versions(rows: object) -> tuple[VersionInfo, ...]:
    found = []
    for row in map(_fields, rows if isinstance(rows, list) else ()):
        tag = _text(row.get("tag"))
        if tag is not None and not _is_commit(tag):
            made = _text(row.get("created"))
            found.append(VersionInfo(tag, made, _reason(row.get("deprecated"))))
    return tuple(sorted(found, key=lambda one: one.created or ""))


def _derivatives(rows: object) -> tuple[Derivative, ...]:
    found = []
    for row in map(_fields, rows if isinstance(rows, list) else ()):
        name = _text(row.get("name"))
        if name is not None:
            found.append(Derivative(name, _text(row.get("s3Url"))))
    return tuple(found)


def _reason(told: object) -> str | None:
    if not isinstance(told, dict):
        return None
    return _text(told.get("reason")) or "no reason is given"


def _is_commit(tag: str) -> bool:
    """Tell whether a tag is the commit of a draft."""
    return len(tag) in (40, 64) and set(tag) <= set("0123456789abcdef")


def _fields(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    return " ".join(value.split()) or None


def _texts(value: object) -> tuple[str, ...]:
    found = map(_text, value if isinstance(value, list) else ())
    return tuple(text for text in found if text is not None)


def _whole(value: object) -> int | None:
    """Return a number of bytes or files: as a number, or as text, which servers have sent too."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        return int(value)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not isinstance(value, int | float) or not whole:
        return None
    return int(value) if 0 <= value < 1 << 63 else None
