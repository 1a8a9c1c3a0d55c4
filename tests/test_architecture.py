"""The shape of the packages, held against the table in ARCHITECTURE.md and the house rules."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import neurofetch

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
IMPURE = {"os", "io", "time", "random", "asyncio", "socket", "shutil", "subprocess", "tempfile"}
WAYS_AROUND = {"importlib", "sys"}
"""What a module could be reached with, by its name as text: an arrow that no test sees."""
LAZY = {
    "neurofetch",
    "laion_fmri",
    "neurofetch.neurovault",
    "neurofetch.index",
    "neurofetch.openneuro",
    "neurofetch.pictures",
    "neurofetch.ui",
    "laion_fmri.loader.torch_dataset",
}
"""Who may do so: the front doors, and for torch, which has no types."""
NETWORK = {"http", "urllib", "ssl", "urllib3", "requests", "httpx", "aiohttp", "botocore", "boto3"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(SRC.rglob("*.py"))}
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


@cache
def imports(name: str) -> frozenset[tuple[str, str]]:
    """Module and name (empty for none) of each import: inside of functions and for types too."""
    found = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found.update((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add((inner, "") if inner in MODULES else (str(node.module), alias.name))
    return frozenset(found)


@cache
def arrows(name: str) -> frozenset[str]:
    """Our own modules that a module imports."""
    ours = {module for module, _ in imports(name) if module in MODULES}
    return frozenset(ours - {name})


def called(name: str) -> frozenset[str]:
    """Names of builtins (or what else has no dot) that a module uses."""
    return frozenset(node.id for node in ast.walk(tree(name)) if isinstance(node, ast.Name))


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_imported_by_a_name_as_text(name):
    """It would be an arrow that the tests below do not see."""
    assert "__import__" not in called(name)
    if name not in LAZY:
        assert not {module for module, _ in imports(name)} & {"importlib", "runpy", "pkgutil"}
        text = MODULES[name].read_text(encoding="utf-8")
        assert not re.search(r"sys\.modules\W+(get\W+)?(neurofetch|laion_fmri)", text)


# -- the table -----------------------------------------------------------------------------------


def table() -> dict[str, frozenset[str]]:
    """Folder (or module beside the folders) to the folders that it may import from."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- imports -->\s*```\w*\n(.*?)```\s*<!-- /imports -->", text, re.DOTALL)
    assert found, "ARCHITECTURE.md has no table of imports"
    rows = [line.partition("<-") for line in found[1].splitlines() if line.strip()]
    return {row.strip().rstrip("*"): frozenset(below.split()) for row, _, below in rows}


TABLE = table()
PURE = {
    line.split()[0].rstrip("*")
    for line in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"[\w.]+\*\s+<-", line)
}


def folder(module: str) -> str:
    """The row of the table that a module belongs to."""
    package, _, rest = module.partition(".")
    inside = rest.partition(".")[0] if rest else "__init__"
    return inside if package == "neurofetch" else f"{package}.{inside}"


def allowed(row: str) -> frozenset[str]:
    return TABLE[row] | {row}


def test_the_table_has_a_row_for_each_folder_and_no_other():
    assert {folder(name) for name in MODULES} == set(TABLE)


def test_the_table_runs_one_way():
    """Each row names only rows above it: so the folders can have no circle."""
    above: set[str] = set()
    for row, below in TABLE.items():
        assert below <= above, f"{row} names {sorted(below - above)} before it is there"
        above.add(row)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_its_row_allows(name):
    for module in arrows(name):
        assert folder(module) in allowed(folder(name)), f"{name} imports {module}"


def circles() -> list[list[str]]:
    """The sets of modules that import one another in a ring (Tarjan's components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(arrows(name)):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            ring, stack[at:] = stack[at:], []
            if len(ring) > 1:
                found.append(sorted(ring))

    for name in MODULES:
        if name not in index:
            visit(name)
    return found


def test_no_modules_import_one_another_in_a_ring():
    """Imports for the type checker count: a reader follows them too."""
    assert circles() == []


def test_a_folder_does_not_import_its_own_front_door():
    """The front door of a package imports what is inside; nothing inside imports it."""
    doors = {name for name in PACKAGES if arrows(name)}
    for name in MODULES:
        inside = {door for door in doors if name.startswith(f"{door}.")}
        assert not inside & arrows(name), f"{name} imports {inside & arrows(name)}"


@pytest.mark.parametrize("row", sorted(PURE))
def test_pure_folders_touch_neither_system_nor_clock_nor_network(row):
    for name in (name for name in MODULES if folder(name) == row):
        taken = {module.partition(".")[0] for module, _ in imports(name)}
        assert not taken & (IMPURE | NETWORK | WAYS_AROUND), name
        assert not called(name) & {"open", "print", "input", "eval", "exec"}, name
        foreign = taken - set(sys.stdlib_module_names) - {"neurofetch"}
        assert not foreign, name
        assert all(folder(module) in PURE for module in arrows(name)), name


def test_the_core_of_the_path_is_pure():
    assert {"errors", "model", "events", "planning"} <= PURE


# -- laion_fmri stands on the public engine ------------------------------------------------------


ENGINE = {
    "neurofetch",
    "neurofetch.console",
    "neurofetch.engine",
    "neurofetch.errors",
    "neurofetch.events",
    "neurofetch.extras",
    "neurofetch.jobs",
    "neurofetch.model",
    "neurofetch.pictures.drawing",
    "neurofetch.pictures.looks",
    "neurofetch.pictures.outputs",
    "neurofetch.pictures.places",
    "neurofetch.pictures.targets",
    "neurofetch.store.atomic",
    "neurofetch.store.folder",
    "neurofetch.store.inflating",
}
"""What CONTRIBUTING.md names for a package for a dataset, and the front door (its version)."""


def test_laion_fmri_uses_only_public_names():
    for name in (name for name in MODULES if name.startswith("laion_fmri")):
        for module, imported in imports(name):
            if not module.startswith("neurofetch"):
                continue
            assert module in ENGINE, f"{name} imports {module}"
            public = importlib.import_module(module).__all__
            assert imported in {*public, ""}, f"{name}: {module}.{imported}"


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


PUBLIC = [name for name in MODULES if not re.search(r"(^|\.)_", name) and name not in PACKAGES]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_has_an_all_that_agrees_with_its_public_names(name):
    module = importlib.import_module(name)
    exported = module.__all__
    assert len(set(exported)) == len(exported)
    for one in exported:
        assert getattr(module, one) is not None
    aliases = {one for one in defined(name) if not hasattr(getattr(module, one), "__doc__")}
    callables = {one for one in defined(name) - aliases if callable(getattr(module, one, None))}
    types = {"Values", "Numbers", "Where"}  # aliases in signatures
    assert callables - set(exported) <= types


def test_the_front_door_has_about_twelve_names_and_each_opens():
    assert len(neurofetch.__all__) <= 12
    assert set(neurofetch._HOMES) | {"__version__"} == set(neurofetch.__all__)
    assert dir(neurofetch) == sorted(neurofetch.__all__)
    typed = {
        (f"{line.module}", alias.name)
        for node in tree("neurofetch").body
        if isinstance(node, ast.If)
        for line in node.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert typed == {(f"neurofetch.{home}", name) for name, home in neurofetch._HOMES.items()}
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


def test_no_function_is_too_long_to_read():
    assert bodies()[-1] < (61, "")


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if path.stat().st_size])
def test_every_module_says_what_it_is_for(name):
    assert ast.get_docstring(tree(name))
