"""The tests that the pages on reliability and security name exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def defined_in(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", ["reliability", "security"])
def test_each_test_that_a_page_names_exists(page):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    named = NAMED.findall(text)
    assert len(named) > 10
    missing = [f"{path}::{name}" for path, name in named if name not in defined_in(path)]
    assert missing == []


def test_each_promise_names_a_test():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = text.partition("## What is promised")[2].partition("##")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    assert [row for row in rows if not NAMED.search(row)] == []
