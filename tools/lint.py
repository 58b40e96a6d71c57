"""Every figure of a chapter has alt text and a caption (part of `make lint`); the tests see the figures themselves."""

import ast
import sys
from pathlib import Path

from tools.notebooks import ROOT, ChapterError, is_chapter, parse

DRAWS = {"panels", "sign", "sensitivity"}  # the calls of lib/book/chapter.py that leave a figure


def draws(source: str) -> bool:
    """Whether a cell itself, not only a function that it defines, makes a figure of the chapter."""
    cell = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))
    calls = [node.value.func for node in cell.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return any(isinstance(call, ast.Attribute) and call.attr in DRAWS for call in calls)


def silent_figures(path: Path) -> list[str]:
    """A sentence for each cell of a chapter that makes a figure without alt text or without a caption.

    Raises:
        ChapterError: the chapter, or one of its cells, cannot be read.
    """
    found = []
    for cell in parse(path.read_text(encoding="utf-8"), path).cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        shown, first = cell.metadata.get("mystnb", {}), cell.source.strip().splitlines()[0]
        try:
            is_figure = "figure" in shown or draws(cell.source)
        except SyntaxError as error:
            raise ChapterError(f"{path}, cell `{first}`: {error.msg}: {(error.text or '').strip()}") from None
        texts = {
            "mystnb: image: alt": shown.get("image", {}).get("alt"),
            "mystnb: figure: caption": shown.get("figure", {}).get("caption"),
        }
        if is_figure:
            found += [f"{path}, cell `{first}`: its figure has no {key}." for key, text in texts.items() if not text]
    return found


def main(root: Path = ROOT) -> int:
    chapters = [path for path in sorted((root / "book").glob("*.md")) if is_chapter(path.read_text(encoding="utf-8"))]
    try:
        found = [sentence for path in chapters for sentence in silent_figures(path)]
    except ChapterError as error:
        found = [error.message]
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
