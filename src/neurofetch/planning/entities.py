"""BIDS names: what a path says of itself, and back.

A BIDS file name is a chain of ``entity-value`` pairs, then a suffix, then an extension:
``sub-01_ses-02_task-images_desc-R2_statmap.nii.gz``. Only the subject and the session are also
read from the folders, because many files beside the data (figures, logs) carry them only there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

__all__ = ["ENTITY_NAMES", "INDEX_ENTITIES", "Entities", "bare", "format", "full", "parse"]

ENTITY_NAMES = {
    "subject": "sub",
    "session": "ses",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acquisition": "acq",
    "nucleus": "nuc",
    "volume": "voi",
    "ceagent": "ce",
    "tracer": "trc",
    "stain": "stain",
    "reconstruction": "rec",
    "direction": "dir",
    "run": "run",
    "modality": "mod",
    "echo": "echo",
    "flip": "flip",
    "inversion": "inv",
    "mtransfer": "mt",
    "part": "part",
    "processing": "proc",
    "hemisphere": "hemi",
    "space": "space",
    "split": "split",
    "recording": "recording",
    "chunk": "chunk",
    "atlas": "atlas",
    "segmentation": "seg",
    "scale": "scale",
    "resolution": "res",
    "density": "den",
    "label": "label",
    "contrast": "contrast",
    "statistic": "stat",
    "description": "desc",
}
"""The long names of the BIDS entities with their short ones, in the order of a file name."""

INDEX_ENTITIES = frozenset({"run", "echo", "flip", "inv", "split", "chunk"})
"""Entities whose values are numbers, so ``run-1`` and ``run-01`` are the same."""

_INHERITED = ("sub", "ses")


@dataclass(frozen=True, slots=True)
class Entities:
    """What a name says.

    Parameters
    ----------
    values : tuple of (entity, value)
        Short names with bare values, in the order of the name; a subject and a session that only
        the folders name come first.
    suffix : str
        The last chunk that is no entity: ``statmap``, ``bold``; empty where there is none.
    extension : str
        From the first dot on, dot included: ``.nii.gz``; empty where there is none.
    """

    values: tuple[tuple[str, str], ...] = ()
    suffix: str = ""
    extension: str = ""

    def get(self, entity: str) -> str | None:
        """Return the value of an entity, the first where it is repeated; None without it.

        Parameters
        ----------
        entity : str
            Its short name.
        """
        for name, value in self.values:
            if name == entity:
                return value
        return None


def parse(path: str) -> Entities:
    """Read a file name, and the subject and the session from its folders.

    The name wins over the folders. A value may hold hyphens, as it does in the wild: the first
    one ends the entity's name.

    Parameters
    ----------
    path : str
        A key or a relative path, with forward slashes.

    Examples
    --------
    >>> parse("sub-01/ses-02/func/figures/R2.png")
    Entities(values=(('sub', '01'), ('ses', '02')), suffix='R2', extension='.png')
    >>> parse("rois/sub-01_label-pSTS-faces_mask.nii.gz").get("label")
    'pSTS-faces'
    """
    folder, _, name = path.rpartition("/")
    stem, dot, extension = name.partition(".")
    pairs: list[tuple[str, str]] = []
    suffix = ""
    for chunk in stem.split("_"):
        entity, _, value = chunk.partition("-")
        if value and entity.isalnum():
            pairs.append((entity, value))
            suffix = ""
        else:
            suffix = chunk
    inherited = _of_folder(folder)
    if inherited:
        own = {pair[0] for pair in pairs}
        pairs[:0] = [pair for pair in inherited if pair[0] not in own]
    return Entities(tuple(pairs), suffix, dot + extension)


@lru_cache(maxsize=4096)
def _of_folder(folder: str) -> tuple[tuple[str, str], ...]:
    """Return the subject and the session that a folder names; the deepest folder counts."""
    found: dict[str, str] = {}
    for component in folder.split("/"):
        entity, _, value = component.partition("-")
        if value and entity in _INHERITED:
            found[entity] = value
    return tuple((entity, found[entity]) for entity in _INHERITED if entity in found)


def format(entities: Entities) -> str:  # noqa: A001 - the counterpart of parse
    """Return the file name that says this.

    Examples
    --------
    >>> format(Entities((("sub", "01"), ("desc", "R2")), "statmap", ".nii.gz"))
    'sub-01_desc-R2_statmap.nii.gz'
    """
    chunks = [f"{entity}-{value}" for entity, value in entities.values]
    if entities.suffix:
        chunks.append(entities.suffix)
    return "_".join(chunks) + entities.extension


def full(entity: str, value: str) -> str:
    """Return a value with its entity, whether it had it or not.

    Examples
    --------
    >>> full("ses", "04"), full("ses", "ses-04")
    ('ses-04', 'ses-04')
    """
    return f"{entity}-{bare(entity, value)}"


def bare(entity: str, token: str) -> str:
    """Return a value without its entity, whether it had it or not.

    Examples
    --------
    >>> bare("ses", "04"), bare("ses", "ses-04")
    ('04', '04')
    """
    return token.removeprefix(f"{entity}-")
