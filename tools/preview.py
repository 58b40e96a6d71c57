"""One chapter in the browser, rendered anew whenever it or what it shows changes (`make preview NAME=x`).

A change of words is rendered from the outputs that are there; only a change of code executes the chapter. Of the other pages
of the book there are only the titles and what else has a label, so that links to them lead somewhere.
"""

import argparse
import re
import sys
import time
from pathlib import Path

import yaml

from lib.files import StoreError, write_text
from tools import build
from tools.browser import serve
from tools.notebooks import ROOT, ChapterError
from tools.sync import sync

RELOAD = """\
let seen;
setInterval(async () => {
  const page = await fetch(location.href, { method: "HEAD" }).catch(() => null);
  const now = page && page.ok && page.headers.get("Last-Modified");
  if (seen && now && now !== seen) location.reload();
  seen = now || seen;
}, 500);
"""
LABELLED = re.compile(r"^\([\w-]+\)=\n#+ .*$|^```{bibliography}(?:.*\n)+?```$", re.M)  # a heading, or the bibliography
PAGE = ("_config.yml", "_toc.yml", "book/references.bib", "book/_static/*")


def stamps(name: str) -> dict[Path, int]:
    """When each file that the chapter's page depends on was last written."""
    patterns = (f"{name}.md", f"{name}.py", *PAGE, *build.INPUTS)
    return {path: path.stat().st_mtime_ns for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}


def write(path: Path, text: str) -> None:
    """Write a file unless it holds this text already, so that Sphinx reads again only what changed."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def stub(text: str) -> str:
    """What stands for another page: its title and what links lead to."""
    title = next(line for line in text.splitlines() if line.startswith("# "))
    return "\n\n".join([title, *LABELLED.findall(text), "Not part of this preview.\n"])


def lay_out(name: str, notebook: Path, source: Path) -> None:
    """Put a book where Jupyter Book reads, in which the other chapters have a title and, if they have it, the bibliography."""
    config, contents = (yaml.safe_load((ROOT / file).read_text()) for file in ("_config.yml", "_toc.yml"))
    config["sphinx"]["config"]["html_js_files"] = ["reload.js"]
    pages = build.pages()
    if name not in pages:  # one that is being written
        contents["parts"][-1]["chapters"].append({"file": name})
    for file, content in (("_config.yml", config), ("_toc.yml", contents)):
        write(source / file, yaml.safe_dump(content, sort_keys=False))
    for file in (ROOT / "book" / "_static").iterdir():
        write(source / "_static" / file.name, file.read_text())
    write(source / "_static" / "reload.js", RELOAD)
    for file in (ROOT / "book" / "_extra").iterdir():
        write(source / "_extra" / file.name, file.read_text())
    write(source / "book" / "references.bib", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"))
    write(source / f"{name}.ipynb", notebook.read_text(encoding="utf-8"))
    for page in set(pages) - {name}:
        text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
        write(source / f"{page}.md", stub(text))


def render(name: str, profile: str) -> Path:
    """Execute a chapter if its code changed, and render it.

    Returns:
        The folder of the pages.

    Raises:
        ChapterError: a cell failed, or Jupyter Book warned; the page may be there all the same.
    """
    executed, base = ROOT / "_build" / profile / "source", ROOT / "_build" / "preview" / name
    failures = build.execute_chapters([name], executed, build.profile_parameters(profile))
    if failures:
        raise ChapterError(failures[name])
    lay_out(name, executed / f"{name}.ipynb", base / "source")
    build.jupyter_book(base / "source", base / "pages")
    html = base / "pages" / "_build" / "html"
    build.place_pictures(html)
    return html


def follow(name: str, profile: str) -> None:
    """Render and serve the chapter until it is interrupted, anew at each change."""
    html = ROOT / "_build" / "preview" / name / "pages" / "_build" / "html"
    html.mkdir(parents=True, exist_ok=True)
    with serve(html) as address:
        print(f"{address}{name}.html shows it, and every change of it; Ctrl-C ends.", flush=True)
        seen = None
        while True:
            if (now := stamps(name)) != seen:
                seen, began = now, time.monotonic()
                try:
                    if sync(ROOT, only=name):  # which is no change of its own
                        seen = stamps(name)
                    render(name, profile)
                except (ChapterError, StoreError) as error:
                    print(error, file=sys.stderr, flush=True)
                print(f"{time.monotonic() - began:.1f} s", flush=True)
            time.sleep(0.3)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.preview", description="Show one chapter while it is written."
    )
    parser.add_argument("chapter", help="such as weight-norm")
    parser.add_argument("--profile", default="paper", help="a file in params/, without .yml (default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="render it and do not serve it")
    options = parser.parse_args(arguments)
    try:
        names = [f"book/{path.stem}" for path in sorted((ROOT / "book").glob("*.py"))]
        name = build.chapter_named(options.chapter, names)
        if options.once:
            sync(ROOT, only=name)
            print(render(name, options.profile) / f"{name}.html")
        else:
            follow(name, options.profile)
    except (ChapterError, StoreError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
