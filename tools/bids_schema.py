"""Write BIDS in tables: ``python -m tools.bids_schema`` (or ``make schema``).

``src/neurofetch/planning/bids_schema.py`` is what the package needs of the schema in
bidsschematools, so that the package itself does not depend on that. It depends on the schema
alone: no time, no path, one order.
"""

from __future__ import annotations

import re
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
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ASSOCIATIONS",
    "BIDS_VERSION",
    "DATATYPES",
    "DERIVATIVE_ENTITIES",
    "ENTITIES",
    "EXTENSIONS",
    "FOLDER_SUFFIXES",
    "INDEX_ENTITIES",
    "LABEL_ENTITIES",
    "RAW_ENTITIES",
    "ROOT_FILES",
    "SCHEMA_VERSION",
    "SUFFIXES",
    "SUFFIXES_OF",
    "VALUES_OF",
    "Association",
]

BIDS_VERSION: Final = "{bids}"
SCHEMA_VERSION: Final = "{schema}"


class Association(NamedTuple):
    """Which file belongs to which data, as the schema's `meta.associations` says."""

    name: str
    """Of the association."""
    of: frozenset[str]
    """Suffixes of the data; none for any."""
    image: bool
    """Whether the data must be a NIfTI image; else it may be all but JSON."""
    datatype: str
    """Of the data; empty for any."""
    entity: str
    """Which the data must carry; empty for none."""
    suffix: str
    """Of the file that belongs to it."""
    extensions: frozenset[str]
    """Its extensions."""
    extra: frozenset[str]
    """Entities that it may carry though the data does not."""
    inherit: bool
    """Whether it may lie in a folder above that of the data."""
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
        _mapping(
            "VALUES_OF",
            "frozenset[str]",
            (
                f'"{entity["name"]}": frozenset({{{_listed(entity["enum"])}}})'
                for entity in entities
                if "enum" in entity
            ),
            "Per entity that has but a few values, these.",
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
        _set(
            "FOLDER_SUFFIXES",
            _folder_suffixes(rules),
            "Those of recordings that are folders without an extension.",
        ),
        _associations(schema),
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


def _folder_suffixes(rules: Mapping[str, Any]) -> Iterator[str]:
    for rule in _rules(rules):
        if "/" in rule.get("extensions", ()):
            yield from rule["suffixes"]


def _associations(schema: Mapping[str, Any]) -> str:
    """Return the table of associations; those of the data's own suffix are plain inheritance."""
    suffixes = sorted(one["value"] for one in schema["objects"]["suffixes"].values())
    items = []
    for name, rule in sorted(schema["meta"]["associations"].items()):
        target = rule["target"]
        if "suffix" not in target:
            continue
        of, image, datatype, entity = _selected(rule["selectors"], suffixes, schema)
        extensions = target["extension"]
        extensions = [extensions] if isinstance(extensions, str) else extensions
        extra = [schema["objects"]["entities"][one]["name"] for one in target.get("entities", ())]
        items.append(
            f'Association("{name}", {_frozen(of)}, {image}, "{datatype}", "{entity}", '
            f'"{target["suffix"]}", {_frozen(extensions)}, {_frozen(extra)}, {rule["inherit"]})'
        )
    lines = "\n".join(_wrapped(item, "    ", "        ") + "," for item in items)
    return f'ASSOCIATIONS: Final = (\n{lines}\n)\n"""Files that belong to data, by suffix."""\n'


def _selected(
    selectors: Iterable[str], suffixes: Iterable[str], schema: Mapping[str, Any]
) -> tuple[list[str], bool, str, str]:
    """Return suffixes, whether images only, datatype and entity that an association is for.

    Raises
    ------
    ValueError
        For a selector that is not understood: then the table would be wrong.
    """
    of: list[str] = []
    image, datatype, entity = False, "", ""
    for selector in selectors:
        if found := re.fullmatch(r"suffix == '(\w+)'", selector):
            of = [found[1]]
        elif found := re.fullmatch(r"match\(suffix, '(.+)'\)", selector):
            of = [suffix for suffix in suffixes if re.search(found[1], suffix)]
        elif found := re.fullmatch(r"intersects\(\[suffix\], \[(.+)\]\)", selector):
            of = re.findall(r"'(\w+)'", found[1])
        elif found := re.fullmatch(r"datatype == '(\w+)'", selector):
            datatype = found[1]
        elif found := re.fullmatch(r"entities\.(\w+)", selector):
            entity = schema["objects"]["entities"][found[1]]["name"]
        elif selector.startswith("match(extension, '\\.nii"):
            image = True
        elif selector != "extension != '.json'":
            msg = f"the selector {selector!r} of an association is not understood"
            raise ValueError(msg)
    return of, image, datatype, entity


def _frozen(values: Iterable[str]) -> str:
    listed = _listed(values)
    return f"frozenset({{{listed}}})" if listed else "frozenset()"


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
