"""Makes of a docstring what Sphinx reads: they are plain text, with backquotes around code and nothing else to it."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

from build_support.doc_tables import not_run

NOT_RUN = "<!-- the site has a table here: build_support.doc_tables.not_run -->"

# What reStructuredText takes for markup and a docstring means as it stands: *args, name_, |x|.
MARKUP = re.compile(r"(?<!`)(\*|\||(?<=\w)_(?!\w))(?!`)")


# A line that says what a parameter or a member is: "timeout_ms: of the current state".
OF_A_NAME = re.compile(r"^([a-z_][a-z0-9_]*(?:, [a-z_][a-z0-9_]*)*): (?=\S)")


def plain(_app: Sphinx, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Outside of backquotes, every character is itself; a name begins a paragraph; an example keeps its lines."""
    for number in range(len(lines) - 1, 0, -1):
        if OF_A_NAME.match(lines[number]) and lines[number - 1].strip():
            lines.insert(number, "")
    for number, line in enumerate(lines):
        parts = line.split("`")
        parts[::2] = [MARKUP.sub(r"\\\1", part) for part in parts[::2]]
        lines[number] = OF_A_NAME.sub(r"`\1`: ", "`".join(parts))
    for number in range(len(lines) - 1, 0, -1):
        is_example = lines[number].startswith("    ") and not lines[number - 1].strip()
        if is_example and number >= 2 and lines[number - 2].strip() and not lines[number - 2].startswith("    "):
            lines[number:number] = ["::", ""]


def leave_out(_app: Sphinx, _what: str, name: str, obj: Any, _skip: bool, _options: object) -> bool | None:
    """What other packages define is documented there, though it can be imported from here."""
    module = getattr(obj, "__module__", None)
    is_foreign = isinstance(module, str) and not module.startswith("ctoffload_dpdk")
    return True if is_foreign and isinstance(obj, type) else None


def with_tables(_app: Sphinx, _page: str, text: list[str]) -> None:
    """Puts in what is gathered from all pages."""
    if NOT_RUN in text[0]:
        text[0] = text[0].replace(NOT_RUN, not_run())


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", with_tables)
    app.connect("autodoc-process-docstring", plain)
    app.connect("autodoc-skip-member", leave_out)
    return {"parallel_read_safe": True}
