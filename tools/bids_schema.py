"""Write BIDS in tables: ``python -m tools.bids_schema`` (or ``make schema``).

``src/neurofetch/planning/bids_schema.py`` is what the package needs of the schema in
bidsschematools, so that the package itself does not depend on that. It depends on the schema
alone: no time, no path, one order.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsschematools.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MODULE = Path(__file__).parent.parent / "src" / "neurofetch" / "planning" / "bids_schema.py"

_HEAD = '''\
"""BIDS {bids}: its entities, datatypes, suffixes, extensions, and files at a dataset's root.

Generated from schema {schema} of bidsschematools by `make schema`; do not edit.
Entities are named by their short names where nothing else is said.
"""
# fmt: off

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BIDS_VERSION",
    "DATATYPES",
    "DERIVATIVE_ENTITIES",
    "ENTITIES",
    "EXTENSIONS",
    "INDEX_ENTITIES",
    "LABEL_ENTITIES",
    "RAW_ENTITIES",
    "ROOT_FILES",
    "SCHEMA_VERSION",
    "SUFFIXES",
    "SUFFIXES_OF",
]

BIDS_VERSION: Final = "{bids}"
SCHEMA_VERSION: Final = "{schema}"
'''


def text() -> str:
    """Return the module."""
    schema: dict[str, Any] = load_schema().to_dict()
    entities = [schema["objects"]["entities"][name] | {"long": name} for name in _order(schema)]
    rules = schema["rules"]["files"]
    pieces = [
        _HEAD.format(bids=schema["bids_version"], schema=schema["schema_version"]),
        _mapping(
            "ENTITIES",
            "str",
            (f'"{entity["long"]}": "{entity["name"]}"' for entity in entities),
            "Long names with their short ones, in the order of a file name.",
        ),
        _set(
            "INDEX_ENTITIES",
            (entity["name"] for entity in entities if entity["format"] == "index"),
            "Their values are whole numbers, perhaps padded with zeros.",
        ),
        _set(
            "LABEL_ENTITIES",
            (entity["name"] for entity in entities if entity["format"] == "label"),
            "Their values are letters and digits.",
        ),
        _set("RAW_ENTITIES", _entities_in(rules["raw"], schema), "Those in names of raw data."),
        _set(
            "DERIVATIVE_ENTITIES",
            _entities_in(rules["deriv"], schema),
            "Those in names of derivatives.",
        ),
        _set(
            "DATATYPES",
            (one["value"] for one in schema["objects"]["datatypes"].values()),
            "The folders that hold data, named after what was measured.",
        ),
        _set(
            "SUFFIXES",
            (one["value"] for one in schema["objects"]["suffixes"].values()),
            "The last parts of file names before the extension.",
        ),
        _mapping(
            "SUFFIXES_OF",
            "frozenset[str]",
            _suffixes_of(rules),
            "Per datatype, the suffixes of its files, raw or derived.",
        ),
        _set("EXTENSIONS", _extensions(rules), "Those that end in a slash are folders."),
        _set("ROOT_FILES", _root_files(schema), "What describes a whole dataset, at its root."),
    ]
    return "\n".join(pieces)


def _order(schema: Mapping[str, Any]) -> list[str]:
    order: list[str] = schema["rules"]["entities"]
    return order


def _rules(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the rules for files in a part of the schema, however deep they lie."""
    if {"path", "stem", "suffixes"} & node.keys():
        yield node
        return
    for below in node.values():
        yield from _rules(below)


def _entities_in(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    for rule in _rules(part):
        for name in rule.get("entities", {}):
            yield schema["objects"]["entities"][name]["name"]


def _suffixes_of(rules: Mapping[str, Any]) -> Iterator[str]:
    found: dict[str, set[str]] = {}
    for rule in _rules(rules):
        for datatype in rule.get("datatypes", ()):
            found.setdefault(datatype, set()).update(rule.get("suffixes", ()))
    for datatype, suffixes in sorted(found.items()):
        if suffixes:
            yield f'"{datatype}": frozenset({{{_listed(suffixes)}}})'


def _extensions(rules: Mapping[str, Any]) -> Iterator[str]:
    """Yield the extensions that occur; not "any" (``.*``), nor those without a name."""
    for rule in _rules(rules):
        yield from (one for one in rule.get("extensions", ()) if one not in ("", "/", ".*"))


def _root_files(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the files at the root; the rules name folders there in the same way."""
    folders = schema["rules"]["directories"]["raw"]
    for rule in _rules(schema["rules"]["files"]["common"]):
        if rule.get("stem", "*") != "*":
            yield from (rule["stem"] + extension for extension in rule["extensions"])
        elif "path" in rule and rule["path"] not in folders:
            yield rule["path"]


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f'"{value}"' for value in sorted(set(values)))


def _set(name: str, values: Iterable[str], says: str) -> str:
    lines = _wrapped(_listed(values), "    ")
    return f'{name}: Final = frozenset({{\n{lines},\n}})\n"""{says}"""\n'


def _mapping(name: str, kind: str, items: Iterable[str], says: str) -> str:
    lines = "\n".join(_wrapped(item, "    ", "        ") + "," for item in items)
    annotation = f"Final[Mapping[str, {kind}]]"
    return f'{name}: {annotation} = MappingProxyType({{\n{lines}\n}})\n"""{says}"""\n'


def _wrapped(items: str, indent: str, further: str = "") -> str:
    return textwrap.fill(
        items,
        100 - 1,  # and a comma
        initial_indent=indent,
        subsequent_indent=further or indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


if __name__ == "__main__":
    MODULE.write_text(text(), encoding="utf-8")
