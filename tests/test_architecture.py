"""The shape of the packages, held against the table in ARCHITECTURE.md and the house rules."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import neurofetch

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
IMPURE = {"os", "io", "time", "random", "asyncio", "socket", "shutil", "subprocess", "tempfile"}
NETWORK = {"http", "urllib", "ssl", "urllib3", "requests", "httpx", "aiohttp", "botocore", "boto3"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(SRC.rglob("*.py"))}
PUBLIC = [name for name in MODULES if not re.search(r"(^|\.)_", name)]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below but what only the type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not is_for_types(child):
            yield child
            yield from at_run_time(child)


def imports(name: str) -> Iterator[tuple[str, str]]:
    """Module and name (empty for none) of each import, those inside of functions too."""
    for node in at_run_time(tree(name)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in MODULES else (str(node.module), alias.name)


# -- the table -----------------------------------------------------------------------------------


def table() -> list[list[str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- layers -->\s*```\w*\n(.*?)```\s*<!-- /layers -->", text, re.DOTALL)
    assert found, "ARCHITECTURE.md has no table of layers"
    return [line.split() for line in found[1].splitlines() if line.strip()]


LAYERS = {
    word.rstrip("*").removesuffix(".__init__"): number
    for number, line in enumerate(table())
    for word in line
}
PURE = [word.rstrip("*") for line in table() for word in line if word.endswith("*")]


def room(module: str) -> str:
    """The entry of the table that a module of neurofetch belongs to."""
    path = module.removeprefix("neurofetch").lstrip(".")
    if path in LAYERS:
        return path
    return path.partition(".")[0]


OURS = [name for name in MODULES if name.startswith("neurofetch.")]


def test_the_table_names_every_module_and_no_other():
    assert {room(name) for name in OURS} == set(LAYERS)


@pytest.mark.parametrize("name", OURS)
def test_imports_run_downwards_only(name):
    here = room(name)
    for module, _ in imports(name):
        if module.startswith("neurofetch.") and room(module) != here:
            assert LAYERS[room(module)] < LAYERS[here], f"{name} imports {module}"


@pytest.mark.parametrize("room", PURE)
def test_pure_rooms_touch_neither_system_nor_clock_nor_network(room):
    taken = {module.partition(".")[0] for module, _ in imports(f"neurofetch.{room}")}
    assert not taken & (IMPURE | NETWORK)
    foreign = taken - set(sys.stdlib_module_names) - {"neurofetch"}
    assert foreign <= {"awscrt"}  # checksums, without a side effect
    inner = [m for m, _ in imports(f"neurofetch.{room}") if m.startswith("neurofetch.")]
    assert all(module.rpartition(".")[2] in PURE for module in inner)


def test_most_rooms_below_the_edges_are_pure():
    assert len(PURE) >= 15


# -- laion_fmri is a face ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("laion_fmri")])
def test_the_face_uses_only_public_names(name):
    for module, imported in imports(name):
        if module == "neurofetch":
            assert imported in {*neurofetch.__all__, ""}, f"{name}: neurofetch.{imported}"
        elif module.startswith("neurofetch."):
            assert module in PUBLIC, f"{name} imports {module}"
            assert imported in {*importlib.import_module(module).__all__, ""}


@pytest.mark.parametrize("name", OURS)
def test_nothing_below_knows_the_face(name):
    assert not [m for m, _ in imports(name) if m.partition(".")[0] == "laion_fmri"]


# -- public names --------------------------------------------------------------------------------


def defined(name: str) -> set[str]:
    """Names without an underscore that a module itself defines."""
    found = set()
    for node in tree(name).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(t.id for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {one for one in found if not one.startswith("_")}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_has_an_all_that_agrees_with_its_public_names(name):
    if name in ("laion_fmri", "neurofetch"):
        return
    module = importlib.import_module(name)
    exported = module.__all__
    assert len(set(exported)) == len(exported)
    for one in exported:
        assert getattr(module, one) is not None
    aliases = {one for one in defined(name) if not hasattr(getattr(module, one), "__doc__")}
    callables = {one for one in defined(name) - aliases if callable(getattr(module, one, None))}
    types = {"Values", "Numbers", "Where"}  # aliases in signatures
    assert callables - set(exported) <= types


def test_the_lazy_names_are_those_of_the_types_and_of_all():
    homes = {f"neurofetch.{home}": set(names) for home, names in neurofetch._HOMES.items()}
    for_types: dict[str, set[str]] = {}
    for node in ast.walk(tree("neurofetch")):
        if is_for_types(node):
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module.startswith("neurofetch"):
                    names = {alias.asname or alias.name for alias in line.names}
                    for_types.setdefault(line.module, set()).update(names)
    assert for_types == homes
    lazy = set().union(*homes.values())
    assert lazy | {"__version__"} == set(neurofetch.__all__)
    assert len(set(neurofetch.__all__)) == len(neurofetch.__all__)
    assert dir(neurofetch) == sorted(neurofetch.__all__)
    for name in neurofetch.__all__:
        assert getattr(neurofetch, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = neurofetch.nothing


# -- importing does nothing ------------------------------------------------------------------------

WATCH = """
import sys
seen = []
watched = {"open", "os.mkdir", "socket.connect", "socket.bind", "subprocess.Popen", "os.rename"}
def hook(event, args):
    if event not in watched:
        return
    if event == "open" and not (isinstance(args[1], str) and set(args[1]) & set("wax+")):
        return
    seen.append((event, str(args[0])))
sys.dont_write_bytecode = True
sys.addaudithook(hook)
before = set(sys.modules)
import MODULE
import threading
heavy = {"numpy", "pandas", "nibabel", "tqdm", "awscrt", "urllib3", "ssl", "http", "zarr", "torch"}
print(sorted(heavy & set(sys.modules)), seen, threading.active_count())
"""


@pytest.mark.parametrize("module", ["neurofetch", "laion_fmri", "laion_fmri.config"])
def test_importing_writes_nothing_asks_nobody_and_loads_nothing_heavy(module, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WATCH.replace("MODULE", module)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": ""},
    )
    assert done.stdout == "[] [] 1\n"
    assert not list(tmp_path.iterdir())


# -- size ----------------------------------------------------------------------------------------


def bodies() -> list[tuple[int, str]]:
    found = []
    for name in MODULES:
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                if body:
                    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
                    found.append((lines, f"{name}.{node.name}"))
    return sorted(found)


def test_functions_are_short():
    lines = [count for count, _ in bodies()]
    assert lines[len(lines) // 2] <= 9
    assert lines[len(lines) * 9 // 10] <= 30
    assert bodies()[-1] < (61, "")


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if path.stat().st_size])
def test_every_module_says_what_it_is_for(name):
    assert ast.get_docstring(tree(name))
