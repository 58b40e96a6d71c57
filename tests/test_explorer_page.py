"""The explorer and the lead figure in a browser, on two pages made of the fragments alone and the records of two seeds."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from lib.experiments import parameters
from lib.experiments.arms import ARMS
from lib.experiments.chapters import wanted
from tools import explorer
from tools.browser import DESKTOP, PHONE, offline_context, serve
from tools.notebooks import ROOT

pytestmark = pytest.mark.slow

SEEDS = [0, 1]
# What the theme gives to a page, as far as the script looks at it.
FRAME = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<link rel="stylesheet" href="../_static/custom.css">
<style>
  :root { --pst-color-text-base: #222; --pst-color-background: #fff; --pst-color-primary: #0050c0; }
  [data-theme=dark] { --pst-color-text-base: #ddd; --pst-color-background: #111; }
  body { background: var(--pst-color-background); color: var(--pst-color-text-base); }
</style>
<article class="bd-article"><h1>A page</h1>%s</article></html>"""
LEAD = """<p id="static">The static figure.</p><div style="height: 2000px"></div>
<link rel="stylesheet" href="../explorer/uPlot.min.css"><link rel="stylesheet" href="../explorer/explorer.css">
<div data-grokking="lead" data-epoch="28000" data-rate="0.6" data-instead="#static"></div>
<script defer src="../explorer/explorer.js"></script>"""
TWO = "m=test_accuracy&l=mlp|base|||0&l=mlp|ticket|0.6|28000|all"
# Pixels of a plot that are near a colour: what a reader sees of a line.
PIXELS = """([selector, colour]) => {
    const canvas = document.querySelector(selector), wanted = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16));
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4)
        found += data[i + 3] > 200 && wanted.every((x, k) => Math.abs(x - data[i + k]) < 12);
    return found;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book of two seeds."""
    return lay_out(tmp_path_factory.mktemp("site"), SEEDS)


def lay_out(site: Path, seeds: list[int]) -> Path:
    """A book of two pages, one with the explorer and one with the lead figure."""
    explorer.write(site / "explorer", seeds=seeds)
    (site / "book").mkdir()
    (site / "_static").mkdir()
    (site / "_static" / "custom.css").write_text((ROOT / "book" / "_static" / "custom.css").read_text())
    text = (ROOT / "book" / "explorer.md").read_text()
    fragment = re.search(r"<link.*</script>", text, re.DOTALL)[0]
    (site / "book" / "explorer.html").write_text(FRAME % fragment)
    (site / "book" / "lead.html").write_text(FRAME % LEAD)
    return site


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with serve(site) as address:
        yield address


class Visitor:
    """A reader, and what the browser asked for and complained of."""

    def __init__(self, browser: Browser, address: str, **options: object) -> None:
        self.address = address
        self.context = offline_context(browser, address, **({"viewport": DESKTOP} | options))
        self.page: Page = self.context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def explore(self, state: str = "") -> Page:
        """Open the explorer in a state, and wait until it is drawn."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}book/explorer.html" + (f"#{state}" if state else ""))
        self.page.wait_for_selector(".gt-table td")
        return self.page


@pytest.fixture
def visitor(browser: Browser, address: str) -> Iterator[Visitor]:
    with visiting(browser, address) as visitor:
        yield visitor


@contextmanager
def visiting(browser: Browser, address: str) -> Iterator[Visitor]:
    """A visitor who complains of nothing and asks no other site."""
    visitor = Visitor(browser, address)
    yield visitor
    assert visitor.complaints == []
    assert [url for url in visitor.asked if not url.startswith((address, "about:", "data:"))] == []
    visitor.context.close()


def state(page: Page) -> dict[str, list[str]]:
    """What the address of the page keeps."""
    return parse_qs(urlsplit(page.url).fragment)


def runs_shown(page: Page) -> list[list[str]]:
    """Net and seed of every run in the table."""
    rows = page.locator(".gt-table tbody tr").all()
    return [row.locator("td").all_inner_texts()[:2] for row in rows]


def test_lines_of_a_link_are_laid_over_one_another(visitor: Visitor, site: Path) -> None:
    page = visitor.explore(TWO)
    ticket = "MLP, ticket, rate 0.6, epoch 28,000"
    assert runs_shown(page) == [["MLP, base (dense)", "0"], [ticket, "0"], [ticket, "1"]]
    for arm in ("base", "ticket"):
        assert page.evaluate(PIXELS, [".gt-plot canvas", ARMS[arm].colour]) > 300
    record = page.locator(".gt-table a").first.get_attribute("href")
    assert (site / urlsplit(record).path.lstrip("/")).exists()
    assert "python -m lib train --chapter" in page.locator(".gt-table tbody tr").first.inner_text()


def test_spectra_stand_beside_the_curves_where_a_record_keeps_them(browser: Browser, tmp_path: Path) -> None:
    seeds = [0, 5]  # the deeper MLP has the first alone, and weights are kept of the other alone
    with serve(lay_out(tmp_path, seeds)) as address, visiting(browser, address) as visitor:
        page = visitor.explore(TWO.replace("|||0", "|||5"))
        titles = page.locator(".gt-heat b").all_inner_texts()
        assert any("base" in title and "weights at the end" in title for title in titles)
        assert any("ticket" in title and "paths that the mask leaves" in title for title in titles)
        assert all("seed 5:" in title for title in titles)  # not the ticket's lowest
        page = visitor.explore("l=mlp-deep|base|||0")
        assert "No spectra" in page.locator(".gt-spectra").inner_text()


def test_a_choice_filters_what_stands_to_the_right_of_it(visitor: Visitor) -> None:
    page = visitor.explore(TWO)
    second = page.locator(".gt-lines li").nth(1)
    second.get_by_label("Net").select_option("random")
    assert second.get_by_label("Ticket epoch").is_disabled()
    assert second.get_by_label("Pruning rate").input_value() == "0.6"
    second.get_by_label("Setting").select_option("transformer")
    second.get_by_label("Seeds").select_option("1")
    page.wait_for_function("document.querySelector('.gt-table tbody').rows.length === 2")
    assert runs_shown(page)[1] == ["Transformer, random, rate 0.6", "1"]
    assert state(page)["l"] == ["mlp|base|||0", "transformer|random|0.6||1"]


def test_a_link_opens_the_same_view(visitor: Visitor) -> None:
    page = visitor.explore()
    page.get_by_label("Curves of").select_option("test_loss")
    page.get_by_role("button", name="Remove line 1").click()
    page.locator(".gt-lines li").get_by_label("Seeds").select_option("1")
    page.wait_for_function("document.querySelector('.gt-table tbody').rows.length === 1")
    before, shown = page.url, runs_shown(page)
    page = visitor.explore(urlsplit(before).fragment)
    assert (page.url, runs_shown(page)) == (before, shown)
    assert page.get_by_label("Curves of").input_value() == "test_loss"


def test_lines_that_are_not_recorded_are_said_to_be_left_out(visitor: Visitor) -> None:
    page = visitor.explore(f"{TWO}&l=mlp|ticket|0.123|28000|all")
    assert "Not recorded, and left out: 1" in page.locator("[role=status]").inner_text()


def test_the_dark_theme_is_followed_while_the_page_is_open(visitor: Visitor) -> None:
    page = visitor.explore("l=mlp|base-no-decay|||0")
    colour = ARMS["base-no-decay"].colour
    assert page.evaluate(PIXELS, [".gt-plot canvas", colour]) > 300
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(100)
    assert page.evaluate(PIXELS, [".gt-plot canvas", colour]) == 0  # too dark for that ground
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.wait_for_timeout(100)
    assert page.evaluate(PIXELS, [".gt-plot canvas", colour]) > 300


def test_a_phone_needs_no_scrolling_sideways(browser: Browser, address: str) -> None:
    visitor = Visitor(browser, address, viewport=PHONE)
    page = visitor.explore(TWO)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator(".gt-plot canvas").bounding_box()["width"] > 300
    page.goto(f"{address}book/lead.html")
    page.locator("[data-grokking=lead]").scroll_into_view_if_needed()
    page.wait_for_selector(".gt-sliders")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    visitor.context.close()


def test_the_keyboard_alone_is_enough(visitor: Visitor) -> None:
    page = visitor.explore(TWO)
    focused = "document.activeElement.closest('label')?.innerText.split('\\n')[0] ?? document.activeElement.textContent"
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(focused))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        if seen[-1] == "Add a line":
            break
    assert seen == ["Setting", "Net", "Seeds", "×", "Setting", "Net", "Pruning rate", "Ticket epoch", "Seeds", "×", "Add a line"]  # fmt: skip
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.gt-lines li').length === 3")
    assert page.evaluate(focused) == "Setting"
    page.keyboard.press("Tab")
    page.keyboard.press("Home")  # the first of the nets
    page.wait_for_function("document.querySelector('.gt-table tbody').rows.length === 5")
    assert state(page)["l"][2] == "mlp|base|||all"


def test_the_lead_figure_waits_until_it_is_seen(visitor: Visitor) -> None:
    page = visitor.page
    page.goto(f"{visitor.address}book/lead.html")
    page.wait_for_load_state("networkidle")
    assert not any("uPlot.iife" in url or "lead.js" in url for url in visitor.asked)
    assert page.locator("#static").is_visible()
    page.locator("[data-grokking=lead]").scroll_into_view_if_needed()
    page.wait_for_selector("[data-grokking=lead] canvas")
    assert page.locator("#static").is_hidden()
    assert "index.js" not in " ".join(visitor.asked)


def test_the_lead_figure_steps_over_recorded_tickets_and_says_so(visitor: Visitor, site: Path) -> None:
    data = json.loads(
        (site / "explorer" / "lead.js").read_text().removeprefix('grokking.receive("lead",').rstrip(")\n")
    )
    recorded = {(net["cut"], net["rate"]) for net in data["nets"] if net["rate"]}
    page = visitor.page
    page.goto(f"{visitor.address}book/lead.html")
    page.locator("[data-grokking=lead]").scroll_into_view_if_needed()
    page.wait_for_selector(".gt-sliders")
    cut, rate, words = (
        page.get_by_label("Ticket cut at epoch"),
        page.get_by_label("Pruning rate"),
        page.get_by_role("status"),
    )

    def at() -> tuple[int, float]:
        texts = page.locator(".gt-sliders b").all_inner_texts()
        return int(texts[0].replace(",", "")), float(texts[1])

    assert at() == (28000, 0.6)
    before = words.inner_text()
    assert "generalizes at epoch" in before and f"medians over seeds {', '.join(map(str, SEEDS))}" in before
    rate.press("ArrowRight")
    assert at() == (28000, 0.7) and "was not run" not in words.inner_text()
    cut.press("Home")  # of the early tickets only one rate was run
    assert at() == (2000, 0.6) and "was not run at rate 0.7; the rate is now 0.6" in words.inner_text()
    assert words.inner_text() != before
    for key in ["ArrowRight"] * 20:
        cut.press(key)
        assert at() in recorded


def test_without_javascript_a_sentence_says_where_to_look(browser: Browser, address: str) -> None:
    context = offline_context(browser, address, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}book/explorer.html")
    assert "The explorer needs JavaScript. Without it, the chapters show" in page.locator("article").inner_text()
    context.close()


def test_a_first_view_is_small(visitor: Visitor, site: Path) -> None:
    visitor.explore()
    files = {urlsplit(url).path.lstrip("/") for url in visitor.asked if url.startswith(visitor.address)}
    assert sum((site / name).stat().st_size for name in files) < 500_000


def test_the_command_beside_a_run_makes_that_run(site: Path) -> None:
    data = json.loads(
        (site / "explorer" / "index.js").read_text().removeprefix('grokking.receive("index",').rstrip(")\n")
    )
    made: dict[tuple[str, int], set[str]] = {}
    for line in data["lines"]:
        for seed, *_, chapter, key, own_epoch in line["runs"]:
            if own_epoch is not None:  # known only once its base is trained
                continue
            if (chapter, seed) not in made:
                of = wanted(parameters.load("paper").model_copy(update={"seeds": [seed]}), [chapter])
                made[chapter, seed] = {run.key for run in of.runs}
            assert key in made[chapter, seed]
