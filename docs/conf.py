"""How the documentation site is built: ``make docs``. Nothing is asked of the network."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexers import GroovyLexer, PythonLexer

from neurofetch._version import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

project = "neurofetch"
author = "the neurofetch developers"
project_copyright = f"2026, {author}"
version = release = __version__
language = "en"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "docs.api_pages",
    "docs.root_pages",
    "docs.llms",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "gallery", "schemas", "**/sg_execution_times.rst"]
nitpicky = True
nitpick_ignore_regex = [
    # A name in a docstring leads to its place where it has one. Parameters, and names of other
    # libraries, have none here: nothing is asked of the network, so not of other sites either.
    ("py:obj", ".*"),
    ("py:(class|func|meth|exc|mod)", r"(?!neurofetch|laion_fmri).*"),
    # Type variables, and types that have no public name.
    ("py:class", r".*\.(_.*|[A-Z]|Scalar)"),
]
default_role = "autolink"  # a name in a docstring leads to its place, where it has one

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autosummary_generate = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 88  # a longer signature has a line for each parameter
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["auto_gallery"],
    "filename_pattern": r"/plot_",
    "subsection_order": [
        f"gallery/{name}" for name in ("laion_fmri", "neurovault", "openneuro", "keep")
    ],
    "within_subsection_order": "FileNameSortKey",
    "thumbnail_size": (400, 280),
    "abort_on_example_error": True,
    # Before an example and after it, its servers stop and its folder goes.
    "reset_modules": ("matplotlib", "testbed.gallery.reset"),
    "reset_modules_order": "both",
    # A notebook is read far from here: its first cell says what does not come with the package.
    "first_notebook_cell": (
        "# This notebook needs: pip install 'neurofetch[all]', and what else its cells import.\n"
        "# Delete the cell that imports `testbed`: it starts servers with synthetic data, and is\n"
        "# not part of the package. The other cells then download real data, so check the\n"
        "# size of each download first, with `dry_run=True` or `neurofetch.plan`."
    ),
    "show_memory": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "plot_gallery": os.environ.get("NEUROFETCH_DOCS_GALLERY", "1") != "0",
}

html_theme = "pydata_sphinx_theme"
html_title = "neurofetch"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("names.js", {"defer": "defer"})]
html_favicon = "_static/mark.svg"
html_show_sourcelink = True
html_copy_source = True  # the Markdown of each page lies beside it
html_theme_options = {
    "logo": {
        "text": "neurofetch",
        "image_light": "_static/mark.svg",
        "image_dark": "_static/mark.svg",
    },
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc", "sourcelink"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "use_edit_page_button": False,
    "back_to_top_button": False,
}
html_sidebars: dict[str, list[str]] = {"index": [], "start": [], "changelog": []}


def setup(app: Sphinx) -> None:
    """Read what Pygments has no name for as the language that it stands on."""
    app.add_lexer("nextflow", GroovyLexer)
    app.add_lexer("snakemake", PythonLexer)
