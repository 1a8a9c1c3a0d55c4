"""Writes a page for each public module, with all of its public names, before the site is built.

What is public is in ``docs/deprecation.md``: the names in the ``__all__`` of a module whose path
has no part with a leading underscore.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


__all__ = ["FIRST", "Homes", "know_types", "public_modules", "setup", "write"]

PACKAGES: Final = ("neurofetch", "laion_fmri")
FIRST: Final = {
    "For scripts": (
        "neurofetch",
        "neurofetch.datasets",
        "neurofetch.neurovault",
        "neurofetch.openneuro",
        "neurofetch.index",
        "neurofetch.pictures",
        "neurofetch.ui",
        "neurofetch.events",
        "neurofetch.errors",
    ),
    "LAION-fMRI": (
        "laion_fmri",
        "laion_fmri.download",
        "laion_fmri.config",
        "laion_fmri.discovery",
        "laion_fmri.info",
        "laion_fmri.verify",
        "laion_fmri.subject",
        "laion_fmri.group",
        "laion_fmri.brain",
        "laion_fmri.io",
        "laion_fmri.plotting",
        "laion_fmri.splits",
        "laion_fmri.stimuli",
        "laion_fmri.torch_data",
        "laion_fmri.errors",
    ),
}
"""The modules that most readers look for; the others follow by their folders."""
OTHERS: Final = "All other modules"


def public_modules() -> dict[str, list[str]]:
    """Return the public modules that have public names, each with these names."""
    found = {}
    for package in PACKAGES:
        top = importlib.import_module(package)
        walked = pkgutil.walk_packages(top.__path__, f"{package}.")
        for name in [package, *(one.name for one in walked)]:
            if any(part.startswith("_") for part in name.split(".")):
                continue
            names = getattr(importlib.import_module(name), "__all__", [])
            if names:
                found[name] = list(names)
    return found


class Homes:
    """Says where each public name is described: once, and elsewhere led to.

    Parameters
    ----------
    modules : mapping of str to list of str
        See `public_modules`.
    """

    def __init__(self, modules: dict[str, list[str]]) -> None:
        self._modules = modules
        self._homes: dict[int, str] = {}
        first = [name for names in FIRST.values() for name in names]
        for module in sorted(modules, key=lambda name: (name not in first, name)):
            for name in modules[module]:
                found = self.found(module, name)
                if self._is_described_by_others(found):
                    self._homes.setdefault(id(found), self._origin(found) or f"{module}.{name}")

    @staticmethod
    def found(module: str, name: str) -> object:
        """Return what a module has under a name."""
        return getattr(importlib.import_module(module), name)

    @staticmethod
    def _is_described_by_others(found: object) -> bool:
        return isinstance(found, type) or callable(found)

    def _origin(self, found: object) -> str:
        """Return the public name that a class or function has where it is written."""
        module, name = getattr(found, "__module__", ""), getattr(found, "__qualname__", "")
        return f"{module}.{name}" if name in self._modules.get(module, ()) else ""

    def home(self, module: str, name: str) -> str:
        """Return the full name under which a name is described."""
        found = self.found(module, name)
        own = f"{module}.{name}"
        return self._homes.get(id(found), own) if self._is_described_by_others(found) else own

    def directive(self, module: str, name: str) -> str:
        """Return what describes a name."""
        found = self.found(module, name)
        if isinstance(found, type) and getattr(found, "__name__", name) == name:
            return "autoexception" if issubclass(found, BaseException) else "autoclass"
        if inspect.isfunction(inspect.unwrap(found) if callable(found) else found):
            return "autofunction"
        return "data"


def _page(module: str, names: list[str], homes: Homes) -> str:
    head = f"``{module}``"
    lines = [head, "=" * len(head), "", f".. automodule:: {module}", ""]
    elsewhere = []
    for name in sorted(names, key=lambda name: name.startswith("__")):  # the version comes last
        home = homes.home(module, name)
        if home != f"{module}.{name}" or inspect.ismodule(homes.found(module, name)):
            elsewhere.append(f"- ``{name}``: `{home}`")
            continue
        directive = homes.directive(module, name)
        if directive == "data":
            lines += _data(module, name)
            continue
        lines.append(f".. {directive}:: {module}.{name}")
        if directive == "autoclass":
            lines.append("   :members:")
        lines.append("")
    if elsewhere:
        lines += ["Also here, and described where they are written:", "", *elsewhere, ""]
    return "\n".join(lines)


def _data(module: str, name: str) -> list[str]:
    """Return what describes a value, such as a type of several others, by the text below it."""
    texts = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name), [])
    head = [f".. data:: {name}", f"   :module: {module}", ""]
    return [*head, *(f"   {line}".rstrip() for line in texts), ""]


def _index(modules: list[str]) -> str:
    named = [name for names in FIRST.values() for name in names]
    groups = {**FIRST, OTHERS: [name for name in modules if name not in named]}
    lines = [
        "API",
        "===",
        "",
        "All public names, by module. Most scripts need `neurofetch.get`, `neurofetch.plan` and",
        "`neurofetch.verify`, and for LAION-fMRI `laion_fmri.download.download` and",
        "`laion_fmri.subject.load_subject`. :doc:`/deprecation` says what may change, and when.",
        "",
    ]
    for title, names in groups.items():
        known = [name for name in names if name in modules]
        lines += [title, "-" * len(title), "", ".. list-table::", "   :widths: 40 60", ""]
        for name in known:
            lines += [f"   * - :doc:`{name} <{name}>`", f"     - {_summary(name)}"]
        lines += ["", ".. toctree::", "   :hidden:", "   :maxdepth: 1", ""]
        lines += [f"   {name}" for name in known]
        lines.append("")
    return "\n".join(lines)


def _summary(module: str) -> str:
    """Return the first paragraph of a module's docstring, as one line."""
    text = inspect.getdoc(importlib.import_module(module)) or ""
    return " ".join(text.partition("\n\n")[0].split())


def write(folder: Path) -> None:
    """Write the pages that are not there, or are old; remove those of modules that are gone.

    Parameters
    ----------
    folder : Path
    """
    modules = public_modules()
    homes = Homes(modules)
    pages = {f"{name}.rst": _page(name, names, homes) for name, names in modules.items()}
    pages["index.rst"] = _index(sorted(modules))
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.rst"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def know_types() -> None:
    """Give the modules the names that they have for type checkers alone.

    With them, a type in a signature leads to the one class that is meant: several are called Plan.
    """
    ours = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    lines = [(name, line) for name in ours for line in _for_checkers(sys.modules[name])]
    for _ in range(2):  # some import what others have for type checkers alone
        for name, line in lines:
            with contextlib.suppress(ImportError, NameError, TypeError):
                exec(line, sys.modules[name].__dict__)


def _for_checkers(module: ModuleType) -> Iterator[str]:
    """Yield the imports, each name by itself, and the aliases of a module's block for checkers."""
    tree = ast.parse(Path(module.__file__ or "").read_text("utf-8"))
    blocks = [one for one in tree.body if isinstance(one, ast.If)]
    for node in [n for one in blocks if ast.unparse(one.test) == "TYPE_CHECKING" for n in one.body]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in list(node.names):
                node.names = [name]
                yield ast.unparse(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield ast.unparse(node)


def _lead_to_types(_: Any, doctree: Any) -> None:
    """Let the types of signatures that nobody evaluates, as of overloads, lead to their classes."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        module = sys.modules.get(node.get("py:module") or "")
        meant = getattr(module, node["reftarget"], None)
        if node["reftype"] != "class" or meant is None:
            continue
        if isinstance(meant, type):
            node["reftarget"] = f"{meant.__module__}.{meant.__qualname__}"
        else:  # a name for several types: there may be classes of that name elsewhere
            node.replace_self(node.children)


def _skip(_: Any, __: str, ___: str, found: object, *____: object) -> bool | None:
    """Leave out the fields of named tuples: their classes describe them."""
    doc = getattr(found, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") else None


def setup(app: Any) -> dict[str, bool]:
    """Let Sphinx write the pages before it reads them."""
    write(Path(app.srcdir) / "api")
    know_types()
    app.connect("autodoc-skip-member", _skip)
    app.connect("doctree-read", _lead_to_types)
    return {"parallel_read_safe": True}
