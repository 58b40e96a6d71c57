"""The book as its reader meets it: built with warnings as errors, opened in a browser that has no network."""

import gzip
import re
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Executed
from playwright.sync_api import Browser, Page

from lib.claims.claims import Claim, load_claims
from tools import build, report
from tools.browser import DESKTOP, PHONE, offline_context, serve

pytestmark = pytest.mark.slow

PAGES = build.pages()
FORMS = [(width, scheme) for width in ("desktop", "phone") for scheme in ("light", "dark")]
COLOURS = ["color-contrast", "link-in-text-block"]  # all that axe finds different in another scheme
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
TOO_WIDE = """() => [...document.querySelectorAll("article mjx-container[display=true]")]
    .filter(box => box.firstElementChild.getBoundingClientRect().right > box.parentElement.getBoundingClientRect().right + 1)
    .map(box => box.textContent)"""


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
        if options.get("java_script_enabled", True):
            self.page.add_style_tag(content="* { transition: none !important }")  # colours are there at once

    def show(self, width: str, scheme: str) -> Page:
        """The same page, without loading it again, as a reader has it whose screen and system are of this kind."""
        self.page.set_viewport_size(PHONE if width == "phone" else DESKTOP)
        self.page.emulate_media(color_scheme=scheme)
        self.page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
        return self.page


@pytest.fixture(scope="session")
def visits(browser: Browser, address: str) -> Iterator[dict[str, Visit]]:
    """Every page, opened once: the tests below show it at several widths and in both schemes."""
    visits = {name: Visit(browser, address, name, viewport=DESKTOP) for name in PAGES}
    yield visits
    for visit in visits.values():
        visit.context.close()


@contextmanager
def unfolded(page: Page) -> Iterator[Page]:
    """The page with all its folds open, and afterwards as it was."""
    page.evaluate("() => document.querySelectorAll('.fold:not([open])').forEach(f => f.open = f.dataset.test = true)")
    try:
        yield page
    finally:
        page.evaluate("() => document.querySelectorAll('.fold[data-test]').forEach(fold => fold.open = false)")


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
def test_captions_begin_with_a_finding_larger_than_the_rest(visits: dict[str, Visit], name: str) -> None:
    wrong = visits[name].page.evaluate(
        """() => [...document.querySelectorAll("figcaption .caption-text")].filter(text => {
            const size = element => parseFloat(getComputedStyle(element).fontSize), first = text.firstChild;
            return first.nodeName !== "STRONG" || !/\\d/.test(first.textContent) || size(first) <= size(text);
        }).map(text => text.textContent)"""
    )
    assert wrong == []


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
def test_a_phone_shows_the_page_without_scrolling_sideways(visits: dict[str, Visit], name: str, scheme: str) -> None:
    page = visits[name].show("phone", scheme)

    def fits() -> None:
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.evaluate(CUT_OFF) == []

    fits()
    with unfolded(page):
        fits()
    assert visits[name].complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_equations_fit_their_column_on_a_desktop(visits: dict[str, Visit], name: str) -> None:
    with unfolded(visits[name].show("desktop", "light")) as page:
        assert page.evaluate(TOO_WIDE) == []


@pytest.mark.parametrize("name", PAGES)
def test_tables_in_sight_fit_their_column_on_a_desktop(visits: dict[str, Visit], name: str) -> None:
    """Those in folds may scroll sideways."""
    wide = (
        visits[name]
        .show("desktop", "light")
        .evaluate(
            """() => [...document.querySelectorAll("article :is(.wide-table, table)")]
            .filter(box => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
            .map(box => box.querySelector("tr").textContent)"""
        )
    )
    assert wide == []


@pytest.mark.parametrize("name", build.chapters())
def test_a_phone_gets_figures_that_are_as_wide_as_itself(browser: Browser, address: str, name: str) -> None:
    """Letters are nearly as large as they were drawn, 9 points at least, which are 12 pixels."""
    visit = Visit(browser, address, name, viewport=PHONE)
    shown = visit.page.evaluate(
        """() => Promise.all([...document.querySelectorAll("img[src*='_images/']:not([hidden] *)")].map(async image => {
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


WORDS_A_SECOND = 3  # of a reader who is in no hurry


@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_the_answer_is_read_in_ten_seconds_and_that_on_weight_norm_in_thirty(
    visits: dict[str, Visit], width: str
) -> None:
    """Both stand on the first screen, after so few words that they can be read by then."""
    page = visits[PAGES[0]].show(width, "light")
    page.evaluate("scrollTo(0, 0)")
    box = page.locator(".in-short").first
    text = page.locator("h1").first.inner_text() + " " + box.inner_text()
    answers = box.locator("li")
    for i, seconds in ((0, 10), (1, 30)):
        answer = answers.nth(i).locator("strong").first
        seen = answer.bounding_box()
        assert seen is not None and seen["y"] + seen["height"] < page.viewport_size["height"]
        before = text[: text.index(answer.inner_text(), text.index(answers.nth(i).inner_text()))]
        assert len(before.split()) < seconds * WORDS_A_SECOND


def test_answers_counts_and_the_figure_to_drag_share_a_desktop_screen(visits: dict[str, Visit]) -> None:
    page = visits[PAGES[0]].show("desktop", "light")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_selector("[data-grokking=lead] canvas")
    shown = (".in-short a", "[data-grokking=lead] input", "[data-grokking=lead] canvas")
    places = [page.locator(one).last.bounding_box() for one in shown]
    assert all(place is not None and place["y"] + place["height"] <= DESKTOP["height"] for place in places), places


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


def test_a_count_of_the_front_page_leads_to_the_claims_of_its_outcome_on_any_setting(
    browser: Browser, address: str
) -> None:
    visit = Visit(browser, address, f"{PAGES[0]}", viewport=DESKTOP)
    page = visit.page
    count = page.locator(".in-short a[href*='outcome=']").last
    outcome = count.locator(".badge").get_attribute("class").split()[-1].replace("-", " ")
    count.click()
    page.wait_for_url("**?outcome=*#scorecard")
    assert page.get_by_label("outcome").input_value() == outcome
    claims = page.locator("table.scorecard tbody").all()
    judged_so = {claim for claim in claims if outcome in claim.get_attribute("data-outcome").split("|")}
    assert {claim for claim in claims if claim.is_visible()} == judged_so
    assert len(judged_so) >= int(count.inner_text().split()[0]) > 0
    for claim in judged_so:  # a setting with this outcome is not left folded
        if not claim.get_attribute("data-outcome").startswith(outcome):
            assert claim.locator("tr.variant:visible").count() > 0
    page.get_by_label("outcome").select_option("")
    assert "outcome" not in page.url and page.locator("table.scorecard tbody:visible").count() == len(claims)
    assert visit.complaints == []
    visit.context.close()


def test_a_link_and_a_printer_open_what_is_folded(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, "book/pruning-at-init", viewport=DESKTOP)
    page, folds = visit.page, visit.page.locator("details.fold")
    shut = page.locator("details.fold:not([open])")
    assert shut.count() == folds.count() > 10
    figure, verdict = page.locator("#fig-pruning-at-init-levels"), page.locator("#c16-transformer-snip table").first
    assert not figure.is_visible() and not verdict.is_visible()
    page.evaluate("() => { location.hash = 'fig-pruning-at-init-levels'; }")
    figure.wait_for(state="visible")
    page.goto(f"{address}book/pruning-at-init.html#c16-transformer-snip")
    page.reload()
    verdict.wait_for(state="visible")
    before = shut.count()
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert shut.count() == 0
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert shut.count() == before > 10
    assert visit.complaints == []
    visit.context.close()


def test_the_front_page_is_light(browser: Browser, address: str) -> None:
    """As servers send it, which compress; scripts for icons and equations, of which it has none, would double it."""
    context, sizes = offline_context(browser, address, viewport=DESKTOP), {}
    page = context.new_page()
    page.on("response", lambda response: sizes.update({response.url: len(gzip.compress(response.body()))}))
    page.goto(f"{address}{PAGES[0]}.html")
    page.wait_for_load_state("networkidle")
    page.wait_for_selector("[data-grokking=lead] canvas")
    assert page.locator("meta[name=description]").get_attribute("content")
    context.close()
    assert sum(sizes.values()) < 600_000, sorted(sizes.items(), key=lambda one: -one[1])[:5]


@pytest.mark.parametrize(
    "missing", ["nothing.html", "book/nothing.html", "book/no/such/folder/", "explorer/records/x/y/z"]
)
def test_an_address_that_leads_nowhere_leads_to_the_front_page(browser: Browser, html: Path, missing: str) -> None:
    """Where a host shows the page 404.html for it, and keeps the book in a folder."""
    with serve(html.parent) as host:
        context = offline_context(browser, host)
        page, address = context.new_page(), f"{host}{html.name}/"
        text = (html / "404.html").read_text()
        page.route(f"{address}{missing}", lambda route: route.fulfill(status=404, content_type="text/html", body=text))
        page.goto(f"{address}{missing}")
        page.locator("#home[data-found]").click()
        page.wait_for_url(f"{address}{PAGES[0]}.html")
        context.close()


def test_the_report_is_a_pdf_of_a_few_pages_with_every_claim(visits: dict[str, Visit], html: Path) -> None:
    pdf = (html / report.PDF).read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 6
    page = visits[report.PAGE].page
    assert page.get_by_role("link", name="This report as PDF").get_attribute("href") == f"../{report.PDF}"
    page.emulate_media(media="print")
    title, text = page.title(), page.locator("article").inner_text()
    assert "Grokking Tickets: Lottery Tickets Accelerate Grokking" in text
    assert (
        b"/Title (" + title.encode("latin-1", "ignore") in pdf
        or b"/Title <FEFF" + title.encode("utf-16-be").hex().upper().encode() in pdf
    )
    ids = [claim.id for claim in load_claims() if isinstance(claim, Claim)]
    rows = page.locator("table.dataframe tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ids
    assert page.locator("header:visible, footer:visible, .cell_input:visible, .bd-sidebar:visible").count() == 0
    page.emulate_media(media="screen")


def test_without_a_browser_the_report_has_no_pdf_and_no_link_to_one(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    page = tmp_path / f"{report.PAGE}.html"
    page.parent.mkdir()
    page.write_text(report.PLACE)
    assert not report.print_pdf(tmp_path, None)
    assert capsys.readouterr().err.startswith("The report has no PDF: ")
    assert not report.print_pdf(tmp_path, "false")
    assert page.read_text() == report.PLACE and list(tmp_path.rglob("*.pdf")) == []
    page.unlink()
    assert not report.print_pdf(tmp_path, None)


def test_without_javascript_the_scorecard_is_a_table_of_all_rows(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, PAGES[0], viewport=DESKTOP, java_script_enabled=False)
    assert visit.page.locator(".filters").is_hidden()
    rows = visit.page.locator("table.scorecard tbody tr")
    assert rows.count() > 80 and all(row.is_visible() for row in rows.all())
    visit.context.close()


@pytest.mark.parametrize(("width", "scheme"), FORMS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(visits: dict[str, Visit], name: str, width: str, scheme: str) -> None:
    """All rules once at each width; in the other scheme only those that look at colours."""
    page = visits[name].show(width, scheme)
    everything = (width, scheme) in (("desktop", "light"), ("phone", "dark"))
    options = {"resultTypes": ["violations"], "preload": False}  # it would ask for style sheets at wrong addresses
    options |= {} if everything else {"runOnly": {"type": "rule", "values": COLOURS}}
    found = Axe().run(page, options=options).response["violations"]
    found = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [f"{one['id']}: {node['html'][:150]}" for one in found for node in one["nodes"][:3]] == []


# --- by keyboard alone ------------------------------------------------------------------------------------------------

# What a reader sees of the focus: a line around the element that has it.
SEEN = """() => {
    const shown = document.activeElement, {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(shown);
    const box = shown.getBoundingClientRect();
    return {
        element: shown.outerHTML.slice(0, 100),
        line: (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) || boxShadow !== "none",
        inside: box.bottom > 0 && box.top < innerHeight,
    };
}"""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element of this kind has the focus, which is seen all the way."""
    for _ in range(300):
        page.keyboard.press("Tab")
        seen = page.evaluate(SEEN)
        assert seen["line"] and seen["inside"], seen
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"Tab does not reach {selector}")


def test_the_keyboard_filters_and_unfolds_the_scorecard(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, PAGES[0], viewport=DESKTOP)
    page = visit.page
    tab_to(page, ".filters select[data-filter=chapter]")
    page.keyboard.type("weight")
    shown = page.locator("table.scorecard tbody:visible")
    assert 0 < shown.count() < page.locator("table.scorecard tbody").count()
    assert all("weight-norm" in claim.get_attribute("data-chapter").split("|") for claim in shown.all())
    variants = page.locator("#c09 tr.variant")
    assert variants.first.is_hidden()
    tab_to(page, "#c09 button")
    page.keyboard.press("Space")
    assert all(row.is_visible() for row in variants.all()) and variants.count() > 0
    visit.context.close()


def test_the_keyboard_unfolds_code_and_tables(browser: Browser, address: str) -> None:
    visit = Visit(browser, address, "book/weight-norm", viewport=DESKTOP)
    for selector in ("details.hide > summary", ".cell_output details > summary"):
        tab_to(visit.page, selector)
        visit.page.keyboard.press("Enter")
        assert visit.page.evaluate("document.activeElement.parentElement.open"), selector
    visit.context.close()


def test_the_keyboard_reaches_the_explorer(browser: Browser, address: str) -> None:
    """What its controls do by keyboard is in test_explorer_page.py."""
    visit = Visit(browser, address, build.EXPLORER, viewport=DESKTOP)
    visit.page.wait_for_selector(".gt-table td")
    tab_to(visit.page, ".gt-lines select")
    before = visit.page.url
    visit.page.keyboard.press("ArrowDown")
    visit.page.wait_for_function("before => location.href !== before", arg=before)
    visit.context.close()
