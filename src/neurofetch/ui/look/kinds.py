"""What a file is, by its name: a volume, a table, a surface, a picture, a text. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from neurofetch._shown import shown
from neurofetch.planning.entities import ENTITY_NAMES, Entities, datatype_of, parse
from neurofetch.planning.results import MAPS, of_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Item", "Kind", "kind_of", "said"]

Kind = Literal["volume", "table", "surface", "picture", "text"]

_ENDS: Final[dict[Kind, tuple[str, ...]]] = {
    "volume": (".nii", ".nii.gz", ".hdr"),
    "table": (".tsv", ".csv", ".tsv.gz", ".csv.gz"),
    "surface": (".gii", ".gii.gz"),
    "picture": (".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp"),
    "text": (".json", ".md", ".txt", ".rst", ".bval", ".bvec", ".bib", ".cff", ".yml", ".yaml"),
}
_TEXTS = frozenset({"readme", "changes", "license", "licence", "authors", "citation"})
_SHORT: Final = {short: long for long, short in ENTITY_NAMES.items()} | {"desc": "desc"}
_MASKS = frozenset({"mask", "roi", "lesion"})
_LABELS = frozenset({"dseg", "aseg", "aparcaseg", "parcellation", "atlas"})
_OF_NEUROVAULT = re.compile(r"(?:^|/)collection_\d+/image_\d+(?:_resampled)?\.nii")
_MASK_NAME = re.compile(r"(?:^|[_.-])mask(?:[_.-]|$)")


class Item(NamedTuple):
    """A file, as far as its name tells.

    Parameters
    ----------
    path : str
        Below the directory.
    kind : str
    says : Entities
        What its name says.
    is_map, is_mask, is_labels : bool
        Whether it is a statistical map, a mask, an image of labels.
    """

    path: str
    kind: Kind
    says: Entities
    is_map: bool = False
    is_mask: bool = False
    is_labels: bool = False

    @property
    def entities(self) -> dict[str, str]:
        """What its name says, by long names."""
        return {_SHORT.get(name, name): shown(value) for name, value in self.says.values}

    def described(self, item: str, size: int, beside: Item | None = None) -> dict[str, Any]:
        """Return what the page shows of it.

        Parameters
        ----------
        item : str
            Its id.
        size : int
            Bytes.
        beside : Item, optional
            What it is shown with: what both names say is not in its title.
        """
        return {
            "item": item,
            "path": shown(self.path),
            "name": shown(self.path.rpartition("/")[2]),
            "kind": self.kind,
            "bytes": size,
            "entities": self.entities,
            "suffix": shown(self.says.suffix) if self.says.values else "",
            "datatype": datatype_of(self.path),
            "title": _title(self, beside.entities if beside else {}),
            "space": self.entities.get("space"),
            "is_map": self.is_map,
            "is_mask": self.is_mask,
        }


def kind_of(name: str) -> Kind | None:
    """Return what a file is, by its name; None for one that is not shown.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> kind_of("sub-01_T1w.nii.gz"), kind_of("README"), kind_of("sub-01_bold.json")
    ('volume', 'text', 'text')
    >>> kind_of("sub-01_meg.fif"), kind_of("sub-01_physio.tsv.gz")
    (None, 'table')
    """
    lower = name.lower()
    if lower in _TEXTS:
        return "text"
    for kind, ends in _ENDS.items():
        if lower.endswith(ends) and lower not in ends:
            return kind
    return None


def said(path: str, kind: Kind) -> Item:
    """Return what a name says of a file.

    Parameters
    ----------
    path : str
        Below the directory, with slashes.
    kind : str

    Examples
    --------
    >>> said("sub-01/func/sub-01_space-T1w_stat-z_statmap.nii.gz", "volume").is_map
    True
    >>> said("rois/sub-01/face/sub-01_label-FFA1_mask.nii.gz", "volume").is_mask
    True
    >>> said("stats/zstat1.nii.gz", "volume").is_map, said("mask.nii", "volume").is_mask
    (True, True)
    >>> said("spmT_0001.nii", "volume").is_map, said("cluster_mask_zstat1.nii", "volume").is_labels
    (True, True)
    >>> said("neurovault/collection_7/image_5.nii.gz", "volume").is_map
    True
    """
    says = parse(path)
    if kind not in {"volume", "surface"}:
        return Item(path, kind, says)
    name = path.rpartition("/")[2].lower()
    suffix = says.suffix.lower()
    label = says.get("label") is not None
    rest = name.partition(".")[0]
    result = of_name(path)  # by the name that a program gave it
    is_map = suffix == "statmap" or says.get("stat") is not None or result in MAPS
    is_mask = suffix in _MASKS or result == "mask" or (label and suffix == "")
    is_mask = is_mask or (not is_map and result is None and bool(_MASK_NAME.search(rest)))
    is_labels = not is_mask and (suffix in _LABELS or rest in _LABELS or result == "labels")
    is_map = not (is_mask or is_labels) and (is_map or bool(_OF_NEUROVAULT.search(path)))
    return Item(path, kind, says, is_map=is_map, is_mask=is_mask, is_labels=is_labels)


_WHO = {"subject": "sub", "session": "ses"}


def _title(item: Item, known: Mapping[str, str]) -> str:
    """Return a short title: what it is first, then what tells it from others beside it."""
    if not item.says.values:
        return shown(item.path.rpartition("/")[2])
    told = {name: value for name, value in item.entities.items() if known.get(name) != value}
    what = (told.pop("label", ""), told.pop("desc", ""), shown(item.says.suffix))
    rest = (f"{name} {value}" for name, value in told.items() if name not in _WHO)
    who = " ".join(f"{short}-{told[name]}" for name, short in _WHO.items() if name in told)
    kind = "JSON" if item.says.extension == ".json" else ""
    return " · ".join(word for word in (*what, *rest, who, kind) if word)
