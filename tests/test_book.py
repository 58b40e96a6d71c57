"""The book as its reader meets it: built with warnings as errors, opened in a browser that has no network."""

import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Executed
from playwright.sync_api import Browser, Page

from tools import build
from tools.browser import DESKTOP, PHONE, offline_context, serve

pytestmark = pytest.mark.slow

PAGES = build.pages()
# What sticks out of the window and is in no box that scrolls: a reader would never see it. Equations have a second form
# for screen readers, clipped to a point, which nobody sees anyway.
CUT_OFF = """() => [...document.querySelectorAll("article *")]
    .filter(element => element.getBoundingClientRect().right > innerWidth + 1 && element.checkVisibility())
    .filter(element => !element.closest("mjx-assistive-mml"))
    .filter(element => {
        for (let box = element; box; box = box.parentElement)
            if (["auto", "scroll"].includes(getComputedStyle(box).overflowX) && box.tagName !== "HTML") return false;
        return true;
    })
    .map(element => element.outerHTML.slice(0, 100))"""


@pytest.fixture(scope="session")
def html(executed: Executed) -> Path:
    """The book, built from the chapters that the session executed."""
    for chapter in build.chapters():
        executed.notebook(chapter)
    html = executed.source.with_name("html")
    build.lay_out(executed.source)
    build.render(executed.source, html)
    return html


@pytest.fixture(scope="session")
def address(html: Path) -> Iterator[str]:
    with serve(html) as address:
        yield address


class Visit:
    """A page of the book, opened, and what the browser complained of meanwhile."""

    def __init__(self, browser: Browser, address: str, name: str, **options: object) -> None:
        self.context = offline_context(browser, address, **options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.goto(f"{address}{name}.html")
        self.page.wait_for_load_state("networkidle")


@pytest.fixture(scope="session")
def visits(browser: Browser, address: str) -> Iterator[dict[str, Visit]]:
    """Every page, opened at desktop width."""
    visits = {name: Visit(browser, address, name, viewport=DESKTOP) for name in PAGES}
    yield visits
    for visit in visits.values():
        visit.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_no_console_errors_and_no_request_to_anywhere_else(visits: dict[str, Visit], name: str) -> None:
    assert visits[name].complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_images_load_and_have_alt_text(visits: dict[str, Visit], name: str) -> None:
    images = visits[name].page.evaluate(
        """() => Promise.all([...document.images].map(async image => {
            await image.decode().catch(() => {});
            return {source: image.src.slice(0, 100), width: image.naturalWidth, alt: image.alt.trim()};
        }))"""
    )
    assert [image for image in images if not image["width"] or not image["alt"]] == []


@pytest.mark.parametrize("name", PAGES)
def test_equations_are_typeset(visits: dict[str, Visit], name: str) -> None:
    page = visits[name].page
    assert page.locator(".math").count() == page.locator(".math:has(mjx-container)").count()
    assert page.locator("mjx-merror").count() == 0


def test_links_inside_the_book_resolve(visits: dict[str, Visit], html: Path) -> None:
    anchors: dict[str, set[str]] = {}
    links: set[tuple[str, str]] = set()
    for visit in visits.values():
        path = urllib.parse.urlsplit(visit.page.url).path
        anchors[path] = set(visit.page.evaluate("() => [...document.querySelectorAll('[id]')].map(e => e.id)"))
        links |= {(path, link) for link in visit.page.evaluate("() => [...document.links].map(link => link.href)")}
    origin = urllib.parse.urlsplit(visit.page.url)[:2]
    broken = []
    for page, link in sorted(links):
        parts = urllib.parse.urlsplit(link)
        if parts[:2] != origin:
            continue
        target, anchor = urllib.parse.unquote(parts.path), urllib.parse.unquote(parts.fragment)
        if not (html / target.lstrip("/")).exists() or (anchor and target in anchors and anchor not in anchors[target]):
            broken.append(f"{page} -> {target}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("chapter", build.chapters())
def test_executed_notebook_can_be_downloaded(visits: dict[str, Visit], chapter: str) -> None:
    links = visits[chapter].page.evaluate("() => [...document.links].map(link => link.href)")
    target = next(link for link in links if link.endswith(f"_sources/{chapter}.ipynb"))
    notebook = visits[chapter].context.request.get(target).json()
    assert any(cell.get("execution_count") for cell in notebook["cells"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_phone_shows_the_page_without_scrolling_sideways(
    browser: Browser, address: str, name: str, scheme: str
) -> None:
    visit = Visit(browser, address, name, viewport=PHONE, color_scheme=scheme)
    try:
        assert visit.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
        assert visit.page.evaluate(CUT_OFF) == []
        assert visit.complaints == []
    finally:
        visit.context.close()


@pytest.mark.parametrize("name", build.chapters())
def test_a_phone_gets_figures_that_are_as_wide_as_itself(browser: Browser, address: str, name: str) -> None:
    """Letters are nearly as large as they were drawn, 9 points at least, which are 12 pixels."""
    visit = Visit(browser, address, name, viewport=PHONE)
    shown = visit.page.evaluate(
        """() => Promise.all([...document.querySelectorAll("img[src*='_images/']")].map(async image => {
            image.loading = "eager";
            await image.decode();
            const drawn = new Image();
            drawn.src = image.currentSrc;
            await drawn.decode();
            return {source: image.currentSrc, scale: image.getBoundingClientRect().width / drawn.naturalWidth};
        }))"""
    )
    visit.context.close()
    assert [one for one in shown if one["scale"] < 0.75] == []


def test_the_front_page_leads_to_the_introduction(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, "index")
    visit.page.wait_for_url(f"{address}{PAGES[0]}.html")
    visit.context.close()


def test_the_scorecard_filters_folds_and_follows_a_link(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, f"{PAGES[0]}", viewport=DESKTOP)
    page = visit.page
    shown = page.locator("table.scorecard tbody:visible")
    assert shown.count() == page.locator("table.scorecard tbody").count() > 40
    assert page.locator("tr.variant:visible").count() == 0
    page.locator("#c15 button").press("Enter")
    assert page.locator("#c15 tr.variant:visible").count() == page.locator("#c15 tr.variant").count() > 0
    page.get_by_label("chapter").select_option("weight-norm")
    assert {claim.get_attribute("id") for claim in shown.all()} == {"c09", "c10", "q05"}
    page.goto(f"{visit.page.url}#c16")
    assert page.locator("#c16 tr.variant:visible").count() > 0 and page.locator("#c16").is_visible()
    assert visit.complaints == []
    visit.context.close()


def test_the_front_page_is_light(browser: Browser, address: str) -> None:
    """Scripts for icons and equations, of which it has none, would be two thirds of it."""
    context, sizes = offline_context(browser, address, viewport=DESKTOP), {}
    page = context.new_page()
    page.on("response", lambda response: sizes.update({response.url: len(response.body())}))
    page.goto(f"{address}{PAGES[0]}.html")
    page.wait_for_load_state("networkidle")
    assert page.locator("meta[name=description]").get_attribute("content")
    page.goto(f"{address}404.html")
    page.get_by_role("link").click()
    page.wait_for_url(f"{address}{PAGES[0]}.html")
    context.close()
    assert sum(sizes.values()) < 1_500_000, sorted(sizes.items(), key=lambda one: -one[1])[:5]


def test_without_javascript_the_scorecard_is_a_table_of_all_rows(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, PAGES[0], viewport=DESKTOP, java_script_enabled=False)
    assert visit.page.locator(".filters").is_hidden()
    rows = visit.page.locator("table.scorecard tbody tr")
    assert rows.count() > 80 and all(row.is_visible() for row in rows.all())
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(browser: Browser, address: str, name: str, scheme: str) -> None:
    visit = Visit(browser, address, name, viewport=DESKTOP, color_scheme=scheme)
    found = [one for one in Axe().run(visit.page).response["violations"] if one["impact"] in ("serious", "critical")]
    visit.context.close()
    assert [f"{one['id']}: {node['html'][:150]}" for one in found for node in one["nodes"][:3]] == []
