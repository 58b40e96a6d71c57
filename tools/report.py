"""The page of the report as PDF; the build prints it wherever Chromium is."""

import subprocess
import sys
from pathlib import Path

from tools.browser import FLAGS

PAGE, PDF = "book/report", "report.pdf"
PLACE = '<p id="pdf"></p>'  # where the page names its PDF, once there is one
LINK = f'<p id="pdf"><a href="../{PDF}">This report as PDF</a></p>'


def print_pdf(html: Path, executable: str | None) -> bool:
    """Print the report of a rendered book to `report.pdf` beside its front page, and name it on the report's page.

    Returns:
        Whether there is a PDF now: not without a browser, and not of a book that has no report.
    """
    page = html / f"{PAGE}.html"
    if not page.exists():
        return False
    if not executable:
        print("The report has no PDF: there is no Chromium or Chrome on PATH to print it.", file=sys.stderr)
        return False
    flags = [
        "--headless",
        "--no-pdf-header-footer",
        "--virtual-time-budget=10000",
        f"--print-to-pdf={(html / PDF).absolute()}",
    ]
    done = subprocess.run([executable, *FLAGS, *flags, page.absolute().as_uri()], capture_output=True, text=True)
    if done.returncode or not (html / PDF).exists():
        print(f"The report has no PDF: {executable} failed. {done.stderr[-300:]}", file=sys.stderr)
        return False
    page.write_text(page.read_text().replace(PLACE, LINK))
    return True
