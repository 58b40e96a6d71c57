"""Execute one chapter with papermill, for the book and for the tests, as the papermill command would."""

import builtins
import logging
import os
import re
import sys
import time
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from lib.files import try_to_write, write_text
from tools.notebooks import KERNEL, ROOT, ChapterError

# What goes wrong in a cell is in the notebook. A kernel that is shut down while it is busy may tell the terminal of a socket.
QUIET = (
    "--log-level=CRITICAL",
    "--IPKernelApp.exec_lines=__import__('logging').getLogger('tornado').setLevel('CRITICAL')",
)

# Two kernels that start together can draw the same free port; the loser dies, in one of two ways.
PORT_COLLISION = re.compile("Address already in use|Kernel died before replying to kernel_info")


def execute(
    chapter: Path,
    output: Path,
    parameters: dict,
    *,
    metadata: dict | None = None,
    attempts: int = 3,
    watched: bool = False,
) -> None:
    """Execute a chapter from the repository root and write it to `output`, which appears only if every cell succeeds.

    Args:
        chapter: the chapter's `.md` or `.py`.
        output: the `.ipynb` to write; its folder is made.
        parameters: values for the cell tagged `parameters`.
        metadata: goes into the notebook's metadata, under `book`.
        attempts: how often to try when kernels collide on a port.
        watched: the training's progress goes to the terminal too.

    Raises:
        ChapterError: a cell failed, the kernel was killed, or the chapter cannot be read.
        StoreError: the notebook cannot be written; this is tried before the chapter is executed.
    """
    try_to_write(output)
    chapter = chapter.resolve()
    name = os.path.relpath(chapter, ROOT)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # of unknown parameters the chapter itself says more
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # quiets the kernel's debugger
    for attempt in range(1, attempts + 1):
        try:
            notebook = papermill.execute_notebook(
                str(chapter),
                None,
                parameters,
                kernel_name=KERNEL["name"],
                progress_bar=False,
                cwd=str(ROOT),
                stderr_file=sys.stderr if watched else None,
                extra_arguments=list(QUIET),
            )
            break
        except PapermillExecutionError as error:
            raise ChapterError(describe(error, name)) from error
        except DeadKernelError as error:
            raise ChapterError(
                f"{name} was killed while it ran, perhaps for want of memory; what it had trained is kept and not trained again"
            ) from error
        except Exception as error:
            if attempt == attempts or not PORT_COLLISION.search(str(error)):
                raise
            time.sleep(attempt)
    notebook.metadata.papermill["input_path"] = name  # a reader's copy need not know this machine's folders
    notebook.metadata["book"] = metadata or {}
    copy_tags(notebook)
    write_text(output, nbformat.writes(notebook))


def describe(error: PapermillExecutionError, chapter: str) -> str:
    """Say in a few lines which cell of which chapter failed, and how."""
    first_line = next((line for line in error.source.splitlines() if line.strip()), "")
    message = "\n    ".join(error.evalue.strip().splitlines()[:4])
    return f"{chapter}, cell [{error.exec_count}] `{first_line.strip()}`\n    {error.ename}: {message}"


def sentence(error: ChapterError) -> str:
    """What to tell a user whose chapter failed: an error of the book's own speaks for itself, any other with its place."""
    cause = error.__cause__
    if isinstance(cause, PapermillExecutionError) and not hasattr(builtins, cause.ename):
        return " ".join(cause.evalue.split())
    return " ".join(error.message.split())


def copy_tags(notebook: NotebookNode) -> None:
    """Give papermill's injected cell the other tags of the parameters cell, so that the page treats both alike."""
    tags = {tag for cell in notebook.cells if "parameters" in (found := cell.metadata.get("tags", [])) for tag in found}
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = ["injected-parameters", *sorted(tags - {"parameters", "injected-parameters"})]
