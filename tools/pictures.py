"""Puts the narrow form of each figure on the rendered pages, for phones (`lib.book.figures.Panels` makes it).

The executed notebook carries it beside the figure. The page's picture takes it from there, the notebook that readers download
loses it.
"""

import re
from pathlib import Path

import nbformat

from lib.book.figures import NARROW

PHONE = "(max-width: 600px)"
# An image that is in no <picture> yet: pages that were not rendered again keep theirs.
IMAGE = re.compile(r'(?<!-narrow\.svg">)<img [^>]*src="([^"]*_images/[^"/]+)\.svg"[^>]*>')


def taken_out(notebook: Path) -> dict[str, str]:
    """Takes the narrow forms out of a notebook; returns them by the figure that they belong to, both as SVG."""
    content, found = nbformat.read(notebook, as_version=4), {}
    for cell in content.cells:
        for output in cell.get("outputs", []):
            if narrow := output.get("metadata", {}).pop(NARROW, None):
                found[_lines(output.data["image/svg+xml"])] = narrow
    if found:
        nbformat.write(content, notebook)
    return found


def place(html: Path) -> None:
    """Gives the figures of a rendered book their narrow forms: a file beside each, and a <picture> of both on the page."""
    narrow = {}
    for notebook in (html / "_sources").rglob("*.ipynb"):
        narrow |= taken_out(notebook)
    for image in (html / "_images").glob("*.svg"):
        if form := narrow.get(_lines(image.read_text(encoding="utf-8"))):
            image.with_name(f"{image.stem}-narrow.svg").write_text(form, encoding="utf-8")

    def picture(image: re.Match) -> str:
        source = f"{image[1]}-narrow.svg"
        if not (html / "_images" / Path(source).name).exists():
            return image[0]
        return f'<picture><source media="{PHONE}" srcset="{source}">{image[0]}</picture>'

    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if (new := IMAGE.sub(picture, text)) != text:
            page.write_text(new, encoding="utf-8")


def _lines(svg: str) -> str:
    """An SVG with line ends that do not depend on who wrote the file."""
    return "\n".join(svg.splitlines())
