"""Pair every chapter's MyST `.md` with its percent `.py`, by content (`make sync`).

An edit on either side arrives on the other, and both are left in the form in which jupytext writes them, so that a word
changed on one side is a word changed on the other. Which side was edited is decided by comparing texts, never file times,
which git sets as it likes. Each side is compared with two earlier states in which the pair agreed: the one that the last sync
left, then HEAD. The first in which exactly one side differs says that this side was edited.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from lib.files import StoreError, write_text
from tools.notebooks import ROOT, ChapterError, is_chapter, parse, unparse

LAST_SYNC = Path("_build", "sync.json")  # ignored by git; without it HEAD alone decides


@dataclass(frozen=True)
class Pair:
    """Both sides of one chapter; a side that does not exist is None."""

    md: str | None
    py: str | None

    def digest(self) -> list[str | None]:
        """What `LAST_SYNC` remembers of each side."""
        return [side and hashlib.sha256(side.encode()).hexdigest() for side in (self.md, self.py)]


def content(notebook: NotebookNode) -> list:
    """What two sides must share: the kernel and each cell's type, source and metadata."""
    cells = [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in notebook.cells]
    return [notebook.metadata["kernelspec"]["name"], cells]


def convert(text: str, source: str, target: str) -> str:
    """Convert the text of one side, `source`, into that of `target`, as jupytext writes it, and make sure that nothing was lost."""
    notebook = parse(text, source)
    converted = unparse(notebook, target)
    if content(parse(converted, target)) != content(notebook):
        raise ChapterError(f"{source} holds something that {target} cannot express, so the two cannot be paired.")
    return converted


def text_of(path: Path) -> str | None:
    """A file's text, or None where there is no file."""
    return path.read_text(encoding="utf-8") if path.exists() else None


def text_at_head(root: Path, path: str) -> str | None:
    """A file's text at HEAD, or None where HEAD does not have it or does not exist, or there is no git."""
    if not shutil.which("git"):
        return None
    shown = subprocess.run(["git", "show", f"HEAD:./{path}"], cwd=root, capture_output=True)
    return shown.stdout.decode("utf-8") if shown.returncode == 0 else None


def chapter_names(root: Path) -> Iterator[str]:
    """The chapters under `book/`, as paths without a suffix. Pages of prose alone are no chapters and have no pair."""
    book = root / "book"
    for path in sorted({path.with_suffix("") for suffix in ("*.md", "*.py") for path in book.glob(suffix)}):
        text = text_of(path.with_suffix(".md"))
        if text is None or is_chapter(text) or path.with_suffix(".py").exists():
            yield f"book/{path.name}"


def edited(now: list, before: list) -> set[str]:
    """Which sides differ between two states of a pair."""
    return {suffix for suffix, new, old in zip((".md", ".py"), now, before, strict=True) if new != old}


def plan(root: Path, name: str, last: list[str | None] | None) -> dict[Path, str]:
    """Decide which files of a chapter have to be written, with which text.

    Args:
        root: the repository.
        name: the chapter's path without a suffix.
        last: the digests that the last sync left, None where they are not known.

    Raises:
        ChapterError: both sides disagree and nothing says that exactly one of them was edited.
    """
    pair = Pair(text_of(root / f"{name}.md"), text_of(root / f"{name}.py"))
    if pair.py is None or pair.md is None:
        source = ".md" if pair.py is None else ".py"
    elif content(parse(pair.md, f"{name}.md")) == content(parse(pair.py, f"{name}.py")):
        source = ".md"
    else:
        head = Pair(text_at_head(root, f"{name}.md"), text_at_head(root, f"{name}.py"))
        states = [edited(pair.digest(), before) for before in (last, head.digest()) if before]
        source = next((side for state in states if len(state) == 1 for side in state), None)
        if source is None:
            what = "both edited and now" if any(states) else "left unedited, yet"
            raise ChapterError(
                f"{name}.md and {name}.py were {what} disagree: delete the one that is wrong and sync again."
            )
    before = {".md": pair.md, ".py": pair.py}
    texts = {suffix: convert(before[source], f"{name}{source}", f"{name}{suffix}") for suffix in before}
    return {root / f"{name}{suffix}": text for suffix, text in texts.items() if text != before[suffix]}


def sync(root: Path, check: bool = False, only: str | None = None) -> list[Path]:
    """Pair all chapters under `root`, or only one; with `check`, only find out what would be written.

    Returns:
        The files that were (or would be) written.

    Raises:
        ChapterError: names every chapter whose sides disagree; nothing is written then.
    """
    memory = root / LAST_SYNC
    last = json.loads(memory.read_text()) if memory.exists() else {}
    texts, errors = {}, []
    names = [name for name in chapter_names(root) if only in (None, name)]
    for name in names:
        try:
            texts |= plan(root, name, last.get(name))
        except ChapterError as error:
            errors.append(error.message)
    if errors:
        raise ChapterError("\n".join(errors))
    if not check:
        for path, text in texts.items():
            write_text(path, text)
        pairs = {name: Pair(text_of(root / f"{name}.md"), text_of(root / f"{name}.py")) for name in names}
        write_text(memory, json.dumps(last | {name: pair.digest() for name, pair in pairs.items()}, indent=1))
    return list(texts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sync", description="Pair every chapter's .md and .py by content."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something is out of sync")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        targets = sync(options.root, options.check)
    except (ChapterError, StoreError) as error:
        print(error, file=sys.stderr)
        return 1
    for target in targets:
        print(f"{'to be written by `make sync`' if options.check else 'wrote'}: {target.relative_to(options.root)}")
    return int(options.check and bool(targets))


if __name__ == "__main__":
    sys.exit(main())
