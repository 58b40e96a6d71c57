"""The one address that a book has: where it comes from, what follows from it, and that every button leads to a file."""

import re
import shlex
import shutil
import subprocess
import urllib.parse
from pathlib import Path

import nbformat
import pytest
import yaml
from PIL import Image
from test_build import root  # noqa: F401

from lib.book.tables import seeds_text
from tools import build, card, site
from tools.notebooks import KERNEL, ROOT, ChapterError

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
SOMEWHERE = site.Address("Some-one", "grokking")


def with_url(url: str) -> dict:
    return CONFIG | {"repository": CONFIG["repository"] | {"url": url}}


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/Some-one/grokking",
        "https://github.com/Some-one/grokking.git",
        "https://someone@github.com/Some-one/grokking/",
        "git@github.com:Some-one/grokking.git",
        "ssh://git@github.com/Some-one/grokking.git",
    ],
)
def test_an_address_is_read_in_each_of_gits_forms(tmp_path: Path, url: str) -> None:
    git(tmp_path, "init")
    assert site.address(with_url(""), tmp_path) is None
    git(tmp_path, "remote", "add", "origin", url)
    assert site.address(with_url(""), tmp_path) == SOMEWHERE
    assert site.address(with_url("https://github.com/other/place"), tmp_path) == site.Address("other", "place")


@pytest.mark.parametrize(
    "url", ["/srv/github.com.git", "https://example.org/github.com/a", "https://notgithub.com/a/b"]
)
def test_other_addresses_are_no_address(tmp_path: Path, url: str) -> None:
    git(tmp_path, "init")
    git(tmp_path, "remote", "add", "origin", url)
    assert site.address(with_url(""), tmp_path) is None
    with pytest.raises(ChapterError, match=r"only addresses on github\.com"):
        site.address(with_url(url), tmp_path)


def test_what_follows_from_an_address() -> None:
    meta = site.configured(CONFIG, SOMEWHERE, card=True)["sphinx"]["config"]["myst_html_meta"]
    assert meta["property=og:url"] == "https://some-one.github.io/grokking/"
    assert meta["property=og:image"] == "https://some-one.github.io/grokking/explorer/social.png"
    without = site.configured(CONFIG, None, card=True)
    assert without["sphinx"]["config"]["myst_html_meta"]["property=og:image"] == "../explorer/social.png"
    assert "launch_buttons" not in without and not without["html"].get("use_repository_button")
    assert site.Address("Some-one", "some-one.github.io").book == "https://some-one.github.io/"


def links(page: Path) -> set[str]:
    """The links of a page that leave the book."""
    return set(re.findall(r'href="(https?://[^"]*)"', page.read_text()))


@pytest.mark.slow
def test_every_button_leads_to_a_file_of_the_repository(root: Path) -> None:  # noqa: F811
    """A book of this repository's pages that have chapters' names and nothing else in them."""
    names = [Path(name).name for name in build.chapters()]
    source, html = root / "_build" / "source", root / "_build" / "html"
    (source / "book").mkdir(parents=True)
    for name in names:
        cell = nbformat.v4.new_markdown_cell(f"# {name}")
        notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": KERNEL})
        nbformat.write(notebook, source / "book" / f"{name}.ipynb")
    build.lay_out(source)
    build.render(source, html)
    assert all(
        "github" not in link and "mybinder" not in link
        for name in names
        for link in links(html / "book" / f"{name}.html")
    )
    config = yaml.safe_load((root / "_config.yml").read_text())
    config["repository"]["url"] = SOMEWHERE.repository
    (root / "_config.yml").write_text(yaml.safe_dump(config))
    build.lay_out(source)
    build.render(source, html)
    for name in [*names, "prose"]:
        found = links(html / "book" / f"{name}.html")
        edit = f"{SOMEWHERE.repository}/edit/main/"
        assert SOMEWHERE.repository in found
        assert [link.removeprefix(edit) for link in found if link.startswith(edit)] == [f"book/{name}.md"]
        assert (root / "book" / f"{name}.md").exists()
        binder = [urllib.parse.urlsplit(link) for link in found if "mybinder.org" in link]
        assert [link.path for link in binder] == ["/v2/gh/Some-one/grokking/main"] * (name in names)
        assert [link.query for link in binder] == [f"urlpath=lab/tree/book/{name}.md"] * (name in names)
        assert not any("colab" in link for link in found)
        canonical = re.search(r'<link rel="canonical" href="([^"]*)"', (html / "book" / f"{name}.html").read_text())
        assert canonical[1] == f"{SOMEWHERE.book}book/{name}.html"


def test_binder_has_what_it_needs() -> None:
    """repo2docker takes environment.yml and postBuild from the top, unless a folder of its own is there."""
    assert not any((ROOT / folder).exists() for folder in ("binder", ".binder"))
    assert (ROOT / "environment.yml").exists() and (ROOT / "postBuild").stat().st_mode & 0o100
    lines = [line for line in (ROOT / "postBuild").read_text().splitlines() if line and line[0] != "#"]
    assert [shlex.split(line)[0] for line in lines] == ["set", "pip", "jupytext-config"]
    assert shutil.which("git") and not subprocess.run(["bash", "-n", ROOT / "postBuild"]).returncode


@pytest.mark.parametrize(
    ("median", "said"), [(1234, "at epoch 1,234"), (0, "at epoch 0"), (None, "not at test accuracy 0.9")]
)
def test_the_card_has_the_size_and_says_the_time(tmp_path: Path, median: int | None, said: str) -> None:
    bands = [[0.1, None], [0.1, 0.5], [0.2, 0.9]]
    nets = [
        {"rate": rate, "cut": cut, "bands": bands, "median": median}
        for rate, cut in ((None, 0), (0.6, 28000), (0.9, 28000))
    ]
    lead = {
        "nets": nets,
        "tau": 0.9,
        "epochs": [1, 10],
        "seeds": seeds_text(range(5, 25)),  # as `tools.explorer.lead` has them
        "setting": "MLP",
        "colours": {"base": "k", "ticket": "C0"},
    }
    card.draw(tmp_path / "card.png", lead)
    assert card.foot(lead) == "MLP; line and dot: median, band: range over seeds 5–24"
    with Image.open(tmp_path / "card.png") as image:
        assert image.size == (1200, 630)
    assert said in card.words(median, 0.9)
