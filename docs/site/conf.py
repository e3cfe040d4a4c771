"""Sphinx's configuration: ``python -m tools.make_site`` builds the site of a copy of docs/, offline, with every warning an error."""

import re

from sphinx.application import Sphinx

from dreamopt.version import __version__
from tools.mathml import visit_block, visit_inline

project = "dreamopt"
author = "the dreamopt authors"
copyright = "the dreamopt authors"  # Sphinx's name
version = release = __version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx_click"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["files"]
html_theme = "furo"
html_title = "dreamopt"
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "mathml"  # shown by the browser: nothing is fetched
html_static_path = ["static"]
html_css_files = ["site.css"]
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 5
myst_dmath_double_inline = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
autosummary_generate = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
default_role = "literal"
suppress_warnings = ["misc.highlighting_failure", "myst.xref_ambiguous"]


def plain(_app: object, _context: object, lines: list[str]) -> None:
    """Escape what reStructuredText would read as markup in the help of a command, which is plain text; literals are kept."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith("..") and "``" not in line:
            lines[number] = re.sub(r"([*|_])", r"\\\1", line)


def setup(app: Sphinx) -> None:
    """Join sphinx-click's events, and say how formulas are written."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("sphinx-click-process-description", plain)
    app.connect("sphinx-click-process-options", plain)
