"""How the pages become a site: `make docs`. The source folder is the repository's root, so that
links between pages are the same here, there and on a code host."""

import re
from pathlib import Path

import jaxvision

ROOT = Path(__file__).resolve().parents[2]

project, author = "jaxvision", "the authors of jaxvision"
release = jaxvision.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
include_patterns = [
    *("docs/*.md", "docs/from_authors/*.md", "docs/notebooks/*.md"),
    *("jaxvision/methods/*/README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
]
root_doc = "docs/index"
html_theme = "furo"
html_title = "jaxvision"
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes stand in the docstrings
autodoc_class_signature = "separated"
default_role = "code"  # one backtick, as everywhere in the docstrings
# Of a code host: pages say it by their path.
suppress_warnings = ["myst.header"]


def published_weights() -> str:
    """The page of every published file, as `jaxvision list METHOD` has it."""
    from jaxvision.networks import published
    from jaxvision.registry import METHODS

    lines = [
        "# Every published file",
        "",
        "How each can be had. What has an address is fetched by the name of its network, see "
        "[weights](weights.md); addresses are the authors', not tried here.",
    ]
    for name, method in METHODS.items():
        rows = published(name)
        if not rows:
            continue
        lines += ["", f"## {method.title}", "", "| network | file | licence | had by |"]
        lines += ["| --- | --- | --- | --- |"]
        for row in rows:
            had = row.get("address") or row.get("by hand", "")
            cells = (f"`{row['network']}`", row["file"], row.get("licence", "none stated"), had)
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def fields(app, what: str, name: str, thing, options, lines: list[str]) -> None:
    """Docstrings say `name: what it is` line by line, and go on below: these become a list of
    fields, and a new sentence behind them a paragraph of its own."""
    among, shown = False, []
    for line in lines:
        if re.match(r"[a-z_]\w*(?:\([\w, ]*\))?(?:, [a-z_]\w*)*: ", line):
            among, line = True, f":{line}"
        elif not line:
            among = False
        elif among and not line.startswith(" "):
            among = not shown[-1].endswith(".")
            line = f"    {line}" if among else f"\n{line}"
        shown.append(line)
    lines[:] = "\n".join(shown).split("\n")


def setup(app) -> None:
    app.connect("autodoc-process-docstring", fields)
    page = ROOT / "docs" / "published_weights.md"
    text = published_weights()
    if not page.is_file() or page.read_text() != text:
        page.write_text(text)
