"""Build the book: execute every chapter with a profile's parameters, then render the executed notebooks (`make book`).

`_build/<profile>/source` holds what Jupyter Book reads, `_build/<profile>/html` what it wrote. Nothing flows back to
`book/`.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from sphinx_external_toc.parsing import parse_toc_yaml
from tqdm import tqdm

from lib.experiments.parameters import ParameterError, load
from lib.files import StoreError, write_text
from tools import report, site
from tools.browser import find_chromium
from tools.execute import copy_tags, execute
from tools.notebooks import ROOT, ChapterError, is_chapter, parse

EXPLORER = "book/explorer"  # the page that shows what tools/explorer.py writes
PROGRESS = "run-epochs/s]"  # in a line on how far a training is (lib/records/plan.py)
KERNELS = 2  # at a time: a kernel takes a core and up to a gigabyte
# Everything besides its own code and parameters that a chapter's outputs can depend on.
INPUTS = ("lib/**/*.py", "book/claims.yml", "book/criteria.yml", "results/**/*", "requirements.lock", "CITATION.cff")


def pages() -> list[str]:
    """The pages that `_toc.yml` names, in reading order, as paths without a suffix."""
    return list(parse_toc_yaml(ROOT / "_toc.yml"))


def chapters() -> list[str]:
    """The pages that are notebooks."""
    return [page for page in pages() if is_chapter((ROOT / f"{page}.md").read_text())]


def profile_parameters(profile: str) -> dict:
    """The parameters that a profile sets for every chapter.

    Raises:
        ChapterError: there is no such profile, or it sets something that is wrong.
    """
    try:
        return load(profile, ROOT / "params").model_dump()
    except ParameterError as error:
        raise ChapterError(str(error)) from error


def fingerprints(names: Iterable[str], parameters: dict) -> dict[str, str]:
    """A hash, for each chapter, of all that its outputs depend on: a chapter is executed again only when it changes.

    A chapter's prose, captions and alt texts are not among it.
    """
    shared = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for path in sorted(path for pattern in INPUTS for path in ROOT.glob(pattern) if path.is_file()):
        shared.update(f"\n{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    digests = {}
    for name in names:
        own = shared.copy()
        own.update(json.dumps([cell.source for cell in code(read(name))]).encode())
        digests[name] = own.hexdigest()
    return digests


def is_current(notebook: Path, fingerprint: str) -> bool:
    """Whether an executed notebook is there and came from the inputs with this fingerprint."""
    if not notebook.exists():
        return False
    return nbformat.read(notebook, as_version=4).metadata.get("book", {}).get("fingerprint") == fingerprint


def read(name: str) -> NotebookNode:
    """A chapter as a notebook, from its `.md`."""
    return parse((ROOT / f"{name}.md").read_text(encoding="utf-8"), f"{name}.md")


def code(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells of code that the chapter itself has, without the parameters that papermill adds."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])]


def renew_words(path: Path, chapter: NotebookNode) -> None:
    """Give an executed notebook the prose, captions and tags that its chapter has now; the code of both is the same.

    What a figure's cell found (`Chapter.finding`) goes from the cell's outputs to the front of the figure's caption. The progress
    of a training that readers did not wait for goes.
    """
    executed = nbformat.read(path, as_version=4)
    old, cells = nbformat.from_dict(executed), []
    done = dict(zip(map(id, code(chapter)), code(executed), strict=True))
    injected = [cell for cell in executed.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    for cell in chapter.cells:
        cells.append(done.get(id(cell), cell))
        if cell.cell_type == "code":
            cells[-1].outputs = without_progress(cells[-1].outputs)
            figure = cell.metadata.get("mystnb", {}).get("figure")
            found = take_finding(cells[-1]) if figure else ""
            cells[-1].metadata = cell.metadata
            if found:
                cell.metadata["finding"] = found
                figure["caption"] = f"**{found}.** {figure['caption']}"
        if "parameters" in cell.metadata.get("tags", []):
            cells += injected
    executed.cells = cells
    copy_tags(executed)
    if executed != old:
        write_text(path, nbformat.writes(executed))


def without_progress(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """A cell's outputs without the lines that tell how far a training is; what else was printed stays."""
    kept = []
    for output in outputs:
        if PROGRESS in output.get("text", ""):
            lines = re.split(r"(?<=[\r\n])", output.text)
            output.text = "".join(line for line in lines if PROGRESS not in line)
            if not output.text.strip():
                continue
        kept.append(output)
    return kept


def take_finding(cell: NotebookNode) -> str:
    """What a cell found, out of its outputs; of a cell that was asked before, what it said then. "" where there is nothing."""
    found = [output.metadata["finding"] for output in cell.outputs if "finding" in output.get("metadata", {})]
    cell.outputs = [output for output in cell.outputs if "finding" not in output.get("metadata", {})]
    return " ".join(found) or cell.metadata.get("finding", "")


def execute_chapters(names: list[str], source: Path, parameters: dict) -> dict[str, str]:
    """Execute the chapters whose inputs changed, a few at a time, each in its own kernel.

    Args:
        names: the chapters, as paths without a suffix.
        source: the folder that receives `<name>.ipynb`.
        parameters: values for each chapter's parameters cell.

    Returns:
        What went wrong, in a few lines, for each chapter that failed.
    """
    digests = fingerprints(names, parameters)
    todo = [name for name in names if not is_current(source / f"{name}.ipynb", digests[name])]
    failures = _execute(todo, source, parameters, digests) if todo else {}
    for name in set(names) - set(failures):
        renew_words(source / f"{name}.ipynb", read(name))
    return failures


def _share_cores() -> None:
    """Let each kernel that this process starts use its share of the cores: threads of two kernels wait for each other in turn, and
    take many times as long."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // KERNELS, 1)))


def _execute(todo: list[str], source: Path, parameters: dict, digests: dict[str, str]) -> dict[str, str]:
    """Execute chapters anew; returns what went wrong."""
    failures: dict[str, str] = {}
    # papermill changes the working directory while it runs, which only one chapter in a process can do.
    with ProcessPoolExecutor(KERNELS, mp_context=get_context("spawn"), initializer=_share_cores) as pool:
        jobs = {}
        for name in todo:
            output = source / f"{name}.ipynb"
            output.unlink(missing_ok=True)
            metadata = {"fingerprint": digests[name]}
            jobs[pool.submit(execute, ROOT / f"{name}.md", output, parameters, metadata=metadata)] = name
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="chapters", unit="chapter"):
            if isinstance(error := job.exception(), ChapterError | StoreError):
                failures[jobs[job]] = str(error)
            elif error:
                raise error
    return failures


def lay_out(source: Path) -> None:
    """Put everything but the executed chapters where Jupyter Book reads: configuration, references, pages of prose."""
    (source / "book").mkdir(parents=True, exist_ok=True)
    for name in ("_toc.yml", "book/references.bib"):
        shutil.copy2(ROOT / name, source / name)
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config = site.configured(config, site.address(config, ROOT), card=EXPLORER in pages())
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    for name in set(pages()) - set(chapters()):
        (source / f"{name}.md").write_text(with_modules((ROOT / f"{name}.md").read_text()))
    shutil.copytree(ROOT / "book" / "_static", source / "_static", dirs_exist_ok=True)
    shutil.copytree(ROOT / "book" / "_extra", source / "_extra", dirs_exist_ok=True)
    (source / "_extra" / "data").mkdir(exist_ok=True)
    for name in ("book/claims.yml", "book/criteria.yml", "results/verdicts.json"):
        shutil.copy2(ROOT / name, source / "_extra" / "data")
    if EXPLORER in pages():
        from tools import explorer  # here, so that the processes which execute chapters do not load torch for it

        explorer.write(source / "_extra" / "explorer")


MODULE = """\
````{{dropdown}} {0}
```{{eval-rst}}
.. automodule:: {0}
   :members:
   :exclude-members: set
```
````
"""
ROOM = """\
```{{eval-rst}}
{0}
.. autosummary::

{1}
```
"""


def with_modules(page: str) -> str:
    """A page with the modules of lib, folded and from their docstrings, below each heading that names a room of it, or a module.

    `set` is what matplotlib writes into a class of figures.
    """

    def below(heading: re.Match[str]) -> str:
        name = heading[1]
        room = ROOT.joinpath(*name.split("."))
        modules = sorted(path.stem for path in room.glob("*.py") if not path.name.startswith("__"))
        parent = name if modules else name.rpartition(".")[0]
        of_room = f".. automodule:: {name}" if modules else f".. currentmodule:: {parent}"
        found = modules or [room.name]
        listed = ROOM.format(of_room, "\n".join(f"   {one}" for one in found))
        return "\n".join([heading[0], listed, *(MODULE.format(f"{parent}.{one}") for one in found)])

    return re.sub(r"^## (lib\.\w+)\n((?:(?!## ).*\n)*)", below, page, flags=re.M)


def jupyter_book(source: Path, work: Path, *options: str) -> None:
    """Render `source` into `work/_build/html`, every warning an error.

    Raises:
        ChapterError: Jupyter Book failed or warned.
    """
    command = [Path(sys.executable).with_name("jupyter-book"), "build", source, "--path-output", work]
    command += ["-W", "--keep-going", "-n", "--quiet", *options]
    log = work.with_name("jupyter-book.log")
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode:
        warnings = [line for line in log.read_text().splitlines() if "WARNING" in line or "ERROR" in line]
        raise ChapterError(
            "\n".join(["Jupyter Book failed or warned:", *warnings[:20], f"The whole output is in {log}."])
        )


def render(source: Path, html: Path) -> None:
    """Render `source` into `html`, which is replaced only if there was no warning; raises ChapterError if there was."""
    work = html.with_name("jupyter-book")
    jupyter_book(source, work, "--all")
    for page in (work / "_build" / "html").rglob("*.html"):
        page.write_text(site.to_sources(lighter(page.read_text())))
    place_pictures(work / "_build" / "html")
    report.print_pdf(work / "_build" / "html", find_chromium())
    shutil.rmtree(html, ignore_errors=True)
    os.replace(work / "_build" / "html", html)


def place_pictures(html: Path) -> None:
    """Give the figures of a rendered book the forms that phones show."""
    from tools import pictures  # here, so that the processes which execute chapters do not load torch for it

    pictures.place(html)


def lighter(page: str) -> str:
    """A page without scripts that it has no use for, and with a list of references that is none for screen readers.

    The icons come from a font, which the theme loads too; a page without equations needs no MathJax.
    """
    page = re.sub(r"\s*<script[^>]*/fontawesome\.js[^>]*></script>", "", page)
    if 'class="math' not in page:
        page = re.sub(r"\s*<script[^>]*/mathjax/[^>]*></script>", "", page)
    return page.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


def build(profile: str, only: list[str] | None = None) -> Path:
    """Execute and render the book at a profile.

    Args:
        profile: names a file in `params/`.
        only: execute no chapters but these; the others must have been executed before.

    Returns:
        The book's `index.html`.

    Raises:
        ChapterError: a chapter failed, or Jupyter Book warned.
    """
    parameters = profile_parameters(profile)
    base = ROOT / "_build" / profile
    names = chapters()
    chosen = [chapter_named(name, names) for name in only] if only else names
    failures = execute_chapters(chosen, base / "source", parameters)
    if failures:
        raise ChapterError("\n".join(failures[name] for name in chosen if name in failures))
    missing = [name for name in names if not (base / "source" / f"{name}.ipynb").exists()]
    if missing:
        raise ChapterError(f"Not executed yet at profile {profile}: {', '.join(missing)}; build once without --only.")
    lay_out(base / "source")
    render(base / "source", base / "html")
    return base / "html" / "index.html"


def chapter_named(name: str, names: list[str]) -> str:
    """The chapter that a user means by `book/setup.md`, `book/setup` or `setup`."""
    stem = Path(name).stem
    for known in names:
        if Path(known).name == stem:
            return known
    raise ChapterError(f"There is no chapter {name!r}; there are: {', '.join(names)}.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.build", description="Execute the chapters and render the book."
    )
    parser.add_argument("--profile", default="paper", help="a file in params/, without .yml (default: %(default)s)")
    parser.add_argument("--only", action="append", metavar="CHAPTER", help="execute only this chapter; may be repeated")
    options = parser.parse_args(arguments)
    try:
        index = build(options.profile, options.only)
    except (ChapterError, StoreError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The book: {os.path.relpath(index)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
