"""The published schema, and documents held against it: no word is missing, and none is unknown."""

import copy
import json
from functools import cache
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/json.md"
SCHEMA = json.loads((PAGE.parent / "schemas/neurofetch-1.schema.json").read_text("utf-8"))


def judge(rules):
    """Return what holds documents against rules. To load it takes a second or more."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - in each process that reads tests

    return Draft202012Validator(rules)


@cache
def strict(name):
    """The part of the schema for a kind of document or event; it takes no word beside its own."""
    kinds = SCHEMA["$defs"].items()
    (found,) = [
        one
        for one, told in kinds
        for word in ("document", "event")
        if told["properties"].get(word, {}).get("const") == name[1] and word == name[0]
    ]
    whole = copy.deepcopy(SCHEMA)
    del whole["oneOf"]
    whole["$ref"] = f"#/$defs/{found}"
    _close(whole)
    return judge(whole)


def _close(part):
    if isinstance(part, dict):
        if part.get("type") == "object" and "properties" in part:
            part["additionalProperties"] = False
        for one in part.values():
            _close(one)
    elif isinstance(part, list):
        for one in part:
            _close(one)


def validate(told):
    """Hold a document or an event against the schema, and against the schema as it is published."""
    word = "event" if "event" in told else "document"
    strict((word, told[word])).validate(told)
    judge(SCHEMA).validate(told)
