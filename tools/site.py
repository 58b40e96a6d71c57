"""Where the book is on the web: from one address, that of its repository, come its buttons, its own address and its card.

The address is `repository: url` in `_config.yml` or, where that is empty, the git remote `origin`, if it is on GitHub. A book
without an address has no buttons. There is none for Colab, which opens notebooks that are in the repository: this one has
chapters as text only.
"""

import copy
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.notebooks import ChapterError

CARD = "explorer/social.png"  # shown beside a link to the book (tools/card.py)
WIDTH, HEIGHT = 1200, 630  # pixels, as other sites ask for
GITHUB = re.compile(r"(?:[/@]|^)github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")


@dataclass(frozen=True)
class Address:
    """A repository on GitHub, and where GitHub Pages has its book."""

    owner: str
    name: str

    @property
    def repository(self) -> str:
        """The repository's address."""
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def book(self) -> str:
        """The book's address, with a slash at its end."""
        host = f"{self.owner.lower()}.github.io"
        return f"https://{host}/" if self.name.lower() == host else f"https://{host}/{self.name}/"


def address(config: dict, root: Path) -> Address | None:
    """The address that a book's configuration names, or else the remote of the repository that it lies in.

    Raises:
        ChapterError: the configuration names an address that is not on GitHub.
    """
    if url := config["repository"]["url"]:
        if not (found := GITHUB.search(url)):
            raise ChapterError(f"_config.yml: repository.url is {url!r}; only addresses on github.com have buttons.")
        return Address(*found.groups())
    asked = ["git", "-C", str(root), "config", "--get", "remote.origin.url"]
    try:
        remote = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # a machine without git
        return None
    found = GITHUB.search(remote)
    return Address(*found.groups()) if found else None


def configured(config: dict, where: Address | None, card: bool) -> dict:
    """A book's configuration with all that follows from its address. card: whether the book has one."""
    config = copy.deepcopy(config)
    meta = config["sphinx"]["config"]["myst_html_meta"]
    if card:  # every page is in the folder `book`
        meta["property=og:image"] = f"{where.book if where else '../'}{CARD}"
        meta |= {"property=og:image:width": str(WIDTH), "property=og:image:height": str(HEIGHT)}
        meta["name=twitter:card"] = "summary_large_image"
    if where:
        meta["property=og:url"] = where.book
        config["repository"] |= {"url": where.repository, "path_to_book": ""}
        config["html"] |= {"use_repository_button": True, "use_edit_page_button": True, "baseurl": where.book}
        config["launch_buttons"] = {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"}
    return config


def to_sources(page: str) -> str:
    """A page whose buttons lead to the chapters as the repository has them: the theme knows the executed notebooks only."""
    return re.sub(r'((?:/edit/|\?urlpath=lab/tree/)[^"]*)\.ipynb"', r'\1.md"', page)
