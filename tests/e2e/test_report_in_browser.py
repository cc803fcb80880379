"""The HTML report in a real browser: headless Chromium, driven by a script inside the page."""

import html
import json
import re
import shutil
import subprocess

import pytest

from langchain_rerank.evaluation.compare import compare_models, compare_rerank
from langchain_rerank.evaluation.data.datasets import from_records
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.testing import WordOverlapScorer

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = next((found for name in BROWSERS if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=f"none of {', '.join(BROWSERS)} is there")

NASTY = "</script><b onclick=alert(1)>bold</b> & {{js}} \u2028"
# The page says on its own console that the script came to its end: the capture works.
DONE = "the driver is done"


@pytest.fixture(scope="module")
def retriever():
    animals = ("cat", "dog", "horse", "bird", "fish", "frog")
    texts = {
        f"{animal}-{number}": f"The {animal} number {number} likes {'food ' * number} {NASTY}"
        for animal in animals
        for number in range(1, 6)
    }
    return BM25Retriever.from_texts(list(texts.values()), ids=list(texts), k=12)


@pytest.fixture(scope="module")
def dataset():
    return from_records(
        [
            {"question": f"What does {animal} number {number} like?", "tags": ["easy", animal]}
            | ({"qrels": {f"{animal}-{number}": 1}} if animal != "frog" else {})
            for animal in ("cat", "dog", "horse", "fish", "frog")
            for number in (2, 4)
        ]
        + [{"question": f"Which bird is this? {NASTY}", "id": "nasty", "qrels": {"bird-3": 2}}]
    )


@pytest.fixture(scope="module")
def page(retriever, dataset, tmp_path_factory):
    def half_wrong(question):  # so that there is something to gain
        found = retriever.invoke(question)
        return found[::-1] if "4" in question else found

    report = compare_rerank(
        half_wrong, WordOverlapScorer(), dataset, first_stage_k=12, measures="nDCG@5,RR", seed=1
    )
    return report.save(tmp_path_factory.mktemp("page")) / "report.html"


@pytest.fixture
def browse(tmp_path, page):
    """Return a function that opens a page, runs a script in it, and returns what that gives."""
    page_uri = page.as_uri()

    def browse(page, script, *flags):
        driver = (
            "const made = document.createElement('pre'); made.id = 'result';"
            "const problems = [];"
            "addEventListener('error', (e) => problems.push(e.message));"
            "addEventListener('securitypolicyviolation', (e) => problems.push(e.blockedURI));"
            f"const act = () => {{ {script} }};"
            "addEventListener('load', () => {"
            "made.textContent = JSON.stringify({value: act(), problems,"
            "  loaded: performance.getEntriesByType('resource').map((one) => one.name)});"
            f"document.body.append(made); console.log('{DONE}'); }});"
        )
        driven = tmp_path / "driven.html"
        text = page.read_text(encoding="utf-8")
        assert text.count("</body>") == 1
        driven.write_text(
            text.replace("</body>", f"<script>{{{driver}}}</script></body>"), encoding="utf-8"
        )
        shown = subprocess.run(
            [
                PROGRAM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-extensions",
                "--enable-logging=stderr",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                "--window-size=1200,900",
                *flags,
                "--dump-dom",
                driven.as_uri(),
            ],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=True,
        )
        console = re.findall(r"CONSOLE.*?\] \"(.*?)\", source", shown.stderr)
        assert console == [DONE], shown.stderr
        found = re.search(r'<pre id="result">(.*?)</pre>', shown.stdout, re.DOTALL)
        result = json.loads(html.unescape(found[1]))
        assert result["problems"] == []
        # What the page asked for; anything else its policy would have refused, as a problem.
        assert all(one.startswith(("data:", page_uri)) for one in result["loaded"])
        return result["value"]

    return browse


ROWS = "[...document.querySelectorAll('tr.query')].map((row) => row.dataset.id)"
CHANGES = (
    "[...document.querySelectorAll('tr.query td[data-label=Change]')].map((c) => c.textContent)"
)


def test_the_summary_stands_before_figures_queries_and_settings(browse, page):
    order = browse(
        page,
        "return [...document.querySelectorAll('main > *')].map((one) => one.className"
        " || one.tagName.toLowerCase() + ':' + one.textContent.slice(0, 8));",
    )
    first = {name: order.index(name) for name in ("headline", "wide", "figures", "controls")}
    assert order[0].startswith("h1:")
    assert list(first) == sorted(first, key=first.get)
    assert order[-1].startswith("details:")


def test_the_queries_sort_by_any_column_in_both_directions(browse, page):
    up, down, questions, number = browse(
        page,
        f"const up = {CHANGES};"
        "document.querySelector('th[data-key=change] button').click();"
        f"const down = {CHANGES};"
        "document.querySelector('th[data-key=question] button').click();"
        "const questions = [...document.querySelectorAll('td.question button')]"
        "  .map((one) => one.textContent);"
        "return [up, down, questions, document.getElementById('count').textContent];",
    )
    assert number == "11 of 11 queries"
    values = [float(one) for one in up if one != "-"]
    assert len(set(values)) > 1
    assert values == sorted(values)
    assert [float(one) for one in down if one != "-"] == sorted(values, reverse=True)
    # Unlabelled queries have no change, and stand last in either direction.
    assert up[-2:] == down[-2:] == ["-", "-"]
    assert questions == sorted(questions, key=str.lower)


def test_the_queries_filter_by_words_tags_and_outcome(browse, page):
    words, tag, outcome, nothing = browse(
        page,
        "const filter = document.getElementById('filter');"
        "const type = (text) => { filter.value = text; filter.dispatchEvent(new Event('input')); };"
        f"type('DOG number'); const words = {ROWS};"
        f"type('easy fish'); const tag = {ROWS};"
        "type(''); const outcome = document.getElementById('outcome');"
        "outcome.value = 'unlabelled'; outcome.dispatchEvent(new Event('change'));"
        f"const unlabelled = {ROWS};"
        f"type('no such words'); return [words, tag, unlabelled, {ROWS}];",
    )
    assert sorted(words) == ["3", "4"]
    assert sorted(tag) == ["7", "8"]
    assert sorted(outcome) == ["10", "9"]
    assert nothing == []


def test_a_click_shows_how_the_documents_of_a_query_moved(browse, page):
    opened, svg, documents, label, expanded, closed = browse(
        page,
        "const row = document.querySelector('tr.query[data-id=\"nasty\"]');"
        "const button = row.querySelector('button');"
        "button.click();"
        "const detail = row.nextElementSibling;"
        "const found = [detail.className, detail.querySelectorAll('svg path').length,"
        "  [...detail.querySelectorAll('.text')].map((one) => one.textContent),"
        "  detail.querySelector('.grade').textContent, button.getAttribute('aria-expanded')];"
        "button.click();"
        "return [...found, document.querySelectorAll('tr.detail').length];",
    )
    assert opened == "detail"
    assert svg == len(documents) > 5
    assert label == "label 2"
    assert expanded == "true"
    assert closed == 0
    # What the documents hold is text, not markup.
    assert any("</script><b onclick=alert(1)>bold</b> & {{js}}" in one for one in documents)


def test_the_policy_of_the_page_refuses_any_request_and_the_check_notices(browse, page):
    ask = "const image = new Image(); image.src = 'http://example.invalid/x.png'; return 1;"
    with pytest.raises(AssertionError, match="Content Security Policy"):
        browse(page, ask)


def test_another_measure_changes_the_figures(browse, page):
    before, after = browse(
        page,
        f"const before = {CHANGES}; const measure = document.getElementById('measure');"
        "measure.value = '1'; measure.dispatchEvent(new Event('change'));"
        f"return [before, {CHANGES}];",
    )
    assert before != after


def test_several_systems_can_be_chosen_from(browse, retriever, dataset, tmp_path):
    report = compare_models(
        retriever,
        {"overlap": WordOverlapScorer(), "again": WordOverlapScorer()},
        dataset,
        first_stage_k=12,
        measures="nDCG@5",
    )
    heading = browse(
        report.save(tmp_path / "out") / "report.html",
        "const system = document.getElementById('system');"
        "system.value = '2'; system.dispatchEvent(new Event('change'));"
        "return document.querySelector('th[data-key=after]').textContent;",
    )
    assert heading == "again"


@pytest.mark.parametrize(("scheme", "dark"), [(0, True), (1, False)])
def test_letters_are_readable_in_dark_and_in_light_mode(browse, page, scheme, dark):
    colours = browse(
        page,
        "const style = (one) => getComputedStyle(document.querySelector(one));"
        "return [style('body').backgroundColor, style('body').color, style('.quiet').color,"
        "  style('.gained, .lost').color];",
        f"--blink-settings=preferredColorScheme={scheme}",
    )
    page_light, *letters = (luminance(one) for one in colours)
    assert (page_light < 0.1) == dark
    for letter in letters:
        lighter, darker = sorted((page_light, letter), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.2, level AA


def luminance(colour):
    """Return the relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    channels = [int(one) / 255 for one in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_on_a_phone_nothing_is_wider_than_the_screen(browse, page, tmp_path):
    # Chromium's own window has a least width; a frame has not.
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<body style='margin:0'><iframe style='width:360px;height:800px;border:0' src='"
        f"{page.as_uri()}'></iframe></body>"
    )
    inner = "document.querySelector('iframe').contentDocument"
    wide, shown, head, sort, chart = browse(
        frame,
        f"const inner = {inner}; inner.querySelector('tr.query').click();"
        "const size = inner.documentElement;"
        "const visible = (one) => inner.querySelector(one).getClientRects().length > 0;"
        "return [size.scrollWidth, size.clientWidth, visible('#queries thead'),"
        "  visible('#sort'), inner.querySelector('.movement').viewBox.baseVal.width];",
        "--allow-file-access-from-files",
    )
    assert 320 < wide == shown <= 360  # a scrollbar may take its part
    assert not head
    assert sort
    assert chart < 360  # drawn for this width, not shrunk to it


def test_on_a_phone_a_table_that_goes_on_says_so_and_scrolls_by_keys(browse, page, tmp_path):
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<body style='margin:0'><iframe style='width:390px;height:800px;border:0' src='"
        f"{page.as_uri()}'></iframe></body>"
    )
    tables = browse(
        frame,
        "const inner = document.querySelector('iframe').contentDocument;"
        "return [...inner.querySelectorAll('.wide')].map((one) => {"
        "  const style = getComputedStyle(one);"
        "  return [one.scrollWidth > one.clientWidth, style.overflowX, style.backgroundAttachment,"
        "    one.tabIndex, getComputedStyle(one.querySelector('td')).backgroundColor]; });",
        "--allow-file-access-from-files",
    )
    assert any(wide for wide, *_ in tables)
    for _, overflow, attachment, tab, cell in tables:
        assert overflow == "auto"
        # Shadows that stay at the edges, under covers that scroll along; cells do not hide them.
        assert attachment.startswith("local, local, scroll, scroll")
        assert tab == 0
        assert cell == "rgba(0, 0, 0, 0)"
