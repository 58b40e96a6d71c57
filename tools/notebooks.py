"""Chapters as notebooks: MyST `.md` and percent `.py`, and the handler through which papermill reads them.

papermill picks a reader by the *beginning* of a path. `pyproject.toml` registers `handler`, so that papermill imports this
module, and the last lines take every beginning that no other reader of papermill's has. The handler is then asked for all such
paths, on reading and on writing, and passes whatever is not a chapter on to papermill's own file handler.
"""

import re
import warnings
from pathlib import Path

import click
import jupytext
import nbformat
import yaml
from jupytext.myst import MystMetadataParsingError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
FORMATS = {".md": "md:myst", ".py": "py:percent"}
KERNEL = {
    "display_name": "Python 3",
    "language": "python",
    "name": "python3",
}  # in the order in which jupytext writes them
LEXER = "ipython3"  # what MyST calls the language of a code cell

# papermill expects `.ipynb` and says so for every other name.
warnings.filterwarnings("ignore", message=r"The specified file \(.*\.(md|py)\) does not end in one of")


class ChapterError(click.ClickException):
    """A chapter that cannot be read, written or executed. The papermill command prints its message alone."""


def parse(text: str, path: str | Path) -> NotebookNode:
    """Read a chapter's text as a notebook for the kernel `python3`.

    Args:
        text: MyST or percent script.
        path: where the text is from; its suffix tells which of the two it is.

    Raises:
        ChapterError: names the path, when jupytext cannot read the text.
    """
    try:
        notebook = jupytext.reads(text, fmt=FORMATS[Path(path).suffix])
    except (ValueError, MystMetadataParsingError, yaml.YAMLError) as error:
        raise ChapterError(f"{path} is not a notebook that jupytext can read: {error}") from error
    notebook.metadata["kernelspec"] = NotebookNode(KERNEL)
    notebook.metadata.setdefault("jupytext", NotebookNode())["default_lexer"] = LEXER
    return notebook


def unparse(notebook: NotebookNode, path: str | Path) -> str:
    """Write a notebook as the text of a chapter, for a file of this name: the inverse of `parse`."""
    return jupytext.writes(notebook, fmt=FORMATS[Path(path).suffix])


def is_chapter(text: str) -> bool:
    """Whether MyST text is a notebook: its front matter names jupytext. Other `.md` pages are prose only."""
    front_matter = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    return bool(front_matter) and "jupytext" in (yaml.safe_load(front_matter[1]) or {})


class ChapterHandler:
    """papermill's reader of chapters."""

    @property
    def local(self):
        """papermill's handler for files on disk. It holds the folder that relative paths start from."""
        from papermill.iorw import papermill_io  # papermill imports this module while it is itself being imported

        return papermill_io.get_handler("local")

    def read(self, path: str) -> str:
        """Return the notebook at `path` as JSON, or the file's text when it is not a chapter."""
        suffix = Path(path).suffix
        if suffix not in FORMATS:
            return self.local.read(path)
        try:
            text = self.local.read(path)
        except OSError as error:
            raise ChapterError(f"Cannot read the chapter {path}: {error.strerror}.") from error
        if suffix == ".md" and not is_chapter(text):
            raise ChapterError(f"{path} is not a notebook: its header does not name jupytext.")
        return nbformat.writes(parse(text, path))

    def write(self, buf: str, path: str) -> None:
        """Write an executed notebook, never over a chapter's source."""
        if Path(path).suffix in FORMATS:
            raise ChapterError(f"Will not write over the source {path}: name an output that ends in .ipynb.")
        self.local.write(buf, path)

    def listdir(self, path: str) -> list[str]:
        return self.local.listdir(path)

    def pretty_path(self, path: str) -> str:
        return path


handler = ChapterHandler()

# Here and not above: papermill imports this module while it is itself being imported, and asks for `handler`.
from papermill.iorw import papermill_io  # noqa: E402

papermill_io._handlers.append(("", handler))  # the last to be asked; `register` would make it the first
