"""What pybids and bids2table answer to the queries that a data set suggests."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bids2table
from bids import BIDSLayout, BIDSLayoutIndexer
from bidsschematools.schema import load_schema

from tests.oracles.trees import DATATYPES, is_recording, recordings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.oracles.trees import Named, Tree

ENTITIES = {entity.name: long for long, entity in load_schema().objects.entities.items()}
"""The long name of each entity of the BIDS schema, by its short one."""

NUMBERS = ("run", "echo")
"""Entities that pybids keeps as numbers."""

BESIDE = ("code", "stimuli", "sourcedata", "models", "derivatives")
"""Folders at the root with files that are not of the data set itself."""


@dataclass(frozen=True, slots=True)
class Question:
    """Filters by the names of the schema: suffix, datatype, extension, or an entity's long name."""

    filters: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.filters)


def questions(tree: Tree) -> list[Question]:
    """Return the queries that a tree suggests: each kind of value that occurs, and pairs."""
    found = [name for name in recordings(tree.paths) if name.path.startswith("sub-")]
    asked: dict[tuple[tuple[str, str], ...], None] = {}
    for filters in _single(found):
        asked[(filters,)] = None
    for name in _spread(found, 4):
        entities = [(ENTITIES[e], v) for e, v in name.entities.items() if e in ENTITIES]
        asked[tuple(entities)] = None
        asked[(*entities[:1], ("suffix", name.suffix))] = None
        asked[(*entities[:1], ("extension", name.extension))] = None
    return [Question(filters) for filters in asked if filters]


def _single(found: list[Named]) -> Iterable[tuple[str, str]]:
    for values, name in (
        (sorted({name.suffix for name in found}), "suffix"),
        (sorted({name.datatype for name in found} & set(DATATYPES)), "datatype"),
        (sorted({name.extension for name in found}), "extension"),
    ):
        for value in values:
            yield name, value
    for short, long in ENTITIES.items():
        values = sorted({name.entities[short] for name in found if short in name.entities})
        for value in values[:: max(1, len(values) // 2)][:2]:
            yield long, value


def _spread(found: list[Named], count: int) -> list[Named]:
    return found[:: max(1, len(found) // count)][:count]


def whole(path: str) -> str:
    """Return the recording that a file belongs to: the folder with a BIDS name around it, or it."""
    parts = path.split("/")
    for depth, name in enumerate(parts[:-1]):
        if is_recording(name):
            return "/".join(parts[: depth + 1])
    return path


class Pybids:
    """A pybids layout of a folder."""

    name = "pybids"

    def __init__(self, root: Path, *, metadata: bool = False) -> None:
        self.root = root
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.layout = BIDSLayout(
                root,
                validate=False,
                indexer=BIDSLayoutIndexer(validate=False, index_metadata=metadata),
            )
        self.entities = set(self.layout.get_entities())

    def knows(self, question: Question) -> bool:
        return all(name in self.entities for name, _ in question.filters)

    def answer(self, question: Question) -> set[str]:
        filters = {
            name: int(value) if name in NUMBERS and value.isdecimal() else value
            for name, value in question.filters
        }
        found = self.layout.get(return_type="filename", invalid_filters="allow", **filters)
        return {whole(str(path).removeprefix(f"{self.root}/")) for path in found}

    def data_files(self) -> list[str]:
        """Return the files that may have metadata in a sidecar."""
        found = (str(path).removeprefix(f"{self.root}/") for path in self.layout.files)
        beside = (".json", ".tsv", ".bval", ".bvec", ".md", ".cff")
        data = (path for path in found if path.startswith("sub-") and not path.endswith(beside))
        return sorted(data)

    def metadata(self, path: str) -> dict[str, object]:
        return dict(self.layout.get_metadata(str(self.root / path)))


class Bids2table:
    """The table that bids2table makes of a folder."""

    name = "bids2table"

    def __init__(self, root: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.rows = bids2table.index_dataset(root).to_pylist()
        self.columns = {long: short for short, long in ENTITIES.items()}
        self.columns |= {"suffix": "suffix", "datatype": "datatype", "extension": "ext"}
        self.there = set(self.rows[0]) if self.rows else set()

    def knows(self, question: Question) -> bool:
        return all(self.columns[name] in self.there for name, _ in question.filters)

    def answer(self, question: Question) -> set[str]:
        return {
            whole(row["path"])
            for row in self.rows
            if all(_equal(row[self.columns[name]], value) for name, value in question.filters)
        }


def _equal(cell: str | int | None, value: str) -> bool:
    if isinstance(cell, int):
        return value.isdecimal() and cell == int(value)
    return cell == value
