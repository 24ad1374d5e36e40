"""How the site is made of these pages and the docstrings: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from ctoffload_dpdk import __version__

project = "ctoffload-dpdk"
copyright = "the authors of ctoffload-dpdk; Apache-2.0"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "site_pages",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# From a compiled module as from Python: the docstrings are in what was built.
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
strip_signature_backslash = True
smartquotes = False
default_role = "code"
# A name such as Port in a signature may mean the one of either of two rooms; it is then linked to neither.
suppress_warnings = ["ref.python"]

# A command is copied without its prompt and without what it prints.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

html_theme = "furo"
html_title = "ctoffload-dpdk"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "sidebar_hide_name": False,
    "light_css_variables": {
        "color-brand-primary": "#0b6e4f",
        "color-brand-content": "#0b6e4f",
        "font-stack": "'Liberation Sans', 'Helvetica Neue', Arial, sans-serif",
        "font-stack--monospace": "'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace",
    },
    "dark_css_variables": {"color-brand-primary": "#4cc9a0", "color-brand-content": "#4cc9a0"},
}
pygments_style = "friendly"
pygments_dark_style = "monokai"
