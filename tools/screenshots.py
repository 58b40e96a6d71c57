"""Photograph pages of the built book, at desktop and phone width, light and dark (`python -m tools.screenshots`)."""

import argparse
import sys
from pathlib import Path

from tools.browser import DESKTOP, PHONE, find_chromium, launch, offline_context, serve
from tools.notebooks import ROOT


def screenshots(html: Path, folder: Path, executable: str) -> list[Path]:
    """Photograph every page under `html` from top to bottom into `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with serve(html) as address, launch(executable) as browser:
        for width, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
            for scheme in ("light", "dark"):
                context = offline_context(browser, address, viewport=viewport, color_scheme=scheme)
                page = context.new_page()
                for path in sorted((html / "book").glob("*.html")):
                    page.goto(f"{address}book/{path.name}")
                    page.wait_for_load_state("networkidle")
                    files.append(folder / f"{path.stem}-{width}-{scheme}.png")
                    page.screenshot(path=files[-1], full_page=True)
                context.close()
    return files


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description="Photograph the built book.")
    parser.add_argument("--profile", default="paper", help="which built book (default: %(default)s)")
    options = parser.parse_args(arguments)
    html = ROOT / "_build" / options.profile / "html"
    executable = find_chromium()
    if not executable:
        sys.exit("No Chromium or Chrome on PATH; install one, or name it in CHROMIUM.")
    if not (html / "index.html").exists():
        sys.exit(f"There is no book at profile {options.profile}; run `make book PROFILE={options.profile}` first.")
    for file in screenshots(html, ROOT / "_build" / "screenshots", executable):
        print(file.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
