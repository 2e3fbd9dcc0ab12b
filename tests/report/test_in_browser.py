"""The report opened from disk in headless Chromium: what its script does, and how it looks."""

import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

# An own, empty profile, and nothing of what a browser fetches for itself.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # the page scrolls smoothly, unless its reader wants no motion: a mouse would miss
    "--force-prefers-reduced-motion",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (375, 768, 1280)
# Relative luminance and contrast as WCAG 2 defines them, of each text on what lies behind it.
CONTRASTS = """
const rgba = (text) => text.match(/[\\d.]+/g).map(Number);
const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
  const part = c[i] / 255;
  return sum + weight * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
}, 0);
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = rgba(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
return [...document.querySelectorAll(arguments[0])].map((e) => {
  const style = getComputedStyle(e);
  const text = e.closest("svg") ? style.fill : style.color;
  const [a, b] = [luminance(rgba(text)), luminance(behind(e))];
  return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 80)];
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless Chromium with its driver; tests skip where there is none."""
    binary = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium with chromedriver here (Debian: chromium chromium-driver)")
    options = Options()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    chrome.get("about:blank")
    yield chrome
    chrome.quit()


def _show(browser: Chrome, page: Path, width: int = 1280, theme: str = "light") -> None:
    """Open a page of a given width in a theme that the system prefers; forget any choice."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": theme}]},
    )
    browser.get(page.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.get(page.as_uri())


def _all(browser: Chrome, selector: str) -> list[WebElement]:
    found = browser.find_elements(By.CSS_SELECTOR, selector)
    assert found, selector
    return found


def _bring_up(browser: Chrome, element: WebElement) -> None:
    """Scroll to an element."""
    browser.execute_script(
        "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element
    )


def _await(holds: Callable[[], bool]) -> None:
    """Give the page ten seconds to answer a mouse: the driver does not wait for it."""
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until, "the page did not answer"
        time.sleep(0.05)


def _open_details(browser: Chrome) -> None:
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")


@pytest.mark.parametrize("name", ["index.html", "runs/aspp_l.html", "runs/fov_4x4_r8.html"])
def test_a_page_loads_without_error_and_asks_for_its_own_files_alone(
    browser: Chrome, report: Path, name: str
) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # of the pages before
    _show(browser, report / name)
    assert browser.get_log("browser") == []
    asked = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] != "Network.requestWillBeSent":
            continue
        if not message["params"]["documentURL"].startswith("chrome"):  # the browser's first tab
            asked.append(message["params"]["request"]["url"])
    own = [url for url in asked if url.startswith(f"{report.as_uri()}/")]
    assert {Path(url).name for url in own} >= {Path(name).name, "report.css", "report.js"}
    assert [url for url in asked if url not in own and url != "data:,"] == []
    assert browser.execute_script(
        "return [...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["index.html", "runs/aspp_l.html"])
def test_nothing_scrolls_sideways_but_boxes_of_tables(
    browser: Chrome, report: Path, name: str, width: int
) -> None:
    _show(browser, report / name, width)
    _open_details(browser)
    browser.execute_script(  # the longest name of a run, in a wide letter
        """for (const label of document.querySelectorAll("fieldset label.script-only"))
        label.lastChild.textContent = "M".repeat(41)"""
    )
    shown, needed = browser.execute_script(
        "const e = document.documentElement; return [e.clientWidth, e.scrollWidth]"
    )
    assert needed <= shown <= width
    outside = browser.execute_script(
        """return [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll")
        && !e.closest("svg") && !e.closest(".skip") && e.getBoundingClientRect().right
        > document.documentElement.clientWidth + 0.5).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert outside == []
    # each wide table can be scrolled without a mouse
    for box in _all(browser, ".scroll"):
        assert box.get_attribute("tabindex") == "0"
        assert box.get_attribute("aria-label")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out_in_both_themes(browser: Chrome, report: Path, theme: str) -> None:
    for name in ("index.html", "runs/aspp_l.html"):
        _show(browser, report / name, theme=theme)
        _open_details(browser)
        dark = browser.execute_script(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128"
        )
        assert dark == (theme == "dark")
        texts = "p, li, a, th, td, dt, dd, h1, h2, summary, button, label, .verdict, .detail, text"
        found = browser.execute_script(CONTRASTS, texts)
        assert len(found) > 50
        assert [text for contrast, text in found if contrast < 4.5] == []
    _show(browser, report / "index.html", theme=theme)
    lines = browser.execute_script(
        CONTRASTS.replace("style.fill : style.color", "style.stroke : style.color"), ".line"
    )
    assert [text for contrast, text in lines if contrast < 3] == []


def test_the_button_changes_the_theme_and_the_next_page_keeps_it(
    browser: Chrome, report: Path
) -> None:
    _show(browser, report / "index.html", theme="light")
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(colour)
    (button,) = _all(browser, "#theme")
    assert button.text == "Dark theme"
    button.send_keys(Keys.ENTER)
    dark = browser.execute_script(colour)
    assert dark != light
    assert button.text == "Light theme"
    browser.get((report / "runs" / "aspp_l.html").as_uri())
    assert browser.execute_script(colour) == dark
    browser.find_element(By.ID, "theme").click()
    assert browser.execute_script(colour) == light


def test_the_slider_moves_by_keys_and_by_dragging(browser: Chrome, report: Path) -> None:
    _show(browser, report / "index.html", 375)
    figure = _all(browser, ".compare")[0]
    slider = figure.find_element(By.CSS_SELECTOR, "input")
    before = figure.find_element(By.CSS_SELECTOR, ".half.before")
    assert "50%" in before.value_of_css_property("clip-path")
    slider.send_keys(Keys.HOME)
    assert "100%" in before.value_of_css_property("clip-path")
    for _ in range(3):
        slider.send_keys(Keys.ARROW_RIGHT)
    assert "97%" in before.value_of_css_property("clip-path")
    assert slider.get_attribute("aria-valuetext") == "3 % before the CRF, the rest after it"
    stack = figure.find_element(By.CSS_SELECTOR, ".stack")
    width = stack.size["width"]
    _bring_up(browser, stack)
    ActionChains(browser).move_to_element(stack).click_and_hold().move_by_offset(
        int(width / 4), 0
    ).release().perform()
    _await(lambda: abs(int(slider.get_attribute("value")) - 75) <= 1)
    other = _all(browser, ".compare")[1].find_element(By.CSS_SELECTOR, "input")
    assert other.get_attribute("value") == "50"
    beneath = browser.find_element(By.ID, "beneath")
    photograph = figure.find_element(By.CSS_SELECTOR, ".under")
    assert not photograph.is_displayed()
    beneath.send_keys(Keys.SPACE)
    assert photograph.is_displayed()


def test_the_trimap_chart_answers_the_mouse_and_the_keys(browser: Chrome, report: Path) -> None:
    _show(browser, report / "index.html")
    readout = _all(browser, ".trimap output")[0]
    slider = _all(browser, ".trimap input[type=range]")[0]
    assert readout.text.splitlines()[0] == "10 px, mean IOU (%)"
    # aspp_l: 25.5 more than the width before the CRF, 45.5 after it
    assert "aspp_l: before 35.50, after 55.50" in readout.text
    slider.send_keys(Keys.ARROW_LEFT)
    assert "aspp_l: before 34.50, after 54.50" in readout.text
    assert slider.get_attribute("aria-valuetext") == "9 pixels"
    slider.send_keys(Keys.HOME)
    assert "aspp_l: before -, after -" in readout.text  # nothing within one pixel
    chart = _all(browser, ".trimap > svg")[0]
    _bring_up(browser, chart)
    # the frame is 640 of 720 wide and starts at 64; its middle is width 6
    offset = (64 + 320 - 360) * chart.size["width"] / 720
    ActionChains(browser).move_to_element_with_offset(chart, int(offset), 0).perform()
    _await(lambda: readout.text.splitlines()[0] == "6 px, mean IOU (%)")
    assert "aspp_l: before 31.50, after 51.50" in readout.text
    assert "fov_7x7_r4" not in readout.text
    curve = browser.find_element(By.CSS_SELECTOR, ".curve[data-run=fov_7x7_r4]")
    assert not curve.is_displayed()
    box = browser.find_element(By.CSS_SELECTOR, "fieldset input[data-run=fov_7x7_r4]")
    box.send_keys(Keys.SPACE)
    assert curve.is_displayed()
    assert "fov_7x7_r4: before 16.00, after 36.00" in readout.text


def test_the_heat_map_answers_the_mouse_and_the_arrow_keys(browser: Chrome, report: Path) -> None:
    _show(browser, report / "index.html")
    readout = _all(browser, ".search .readout")[0]
    assert readout.text == "w1 3.75, σα 52.5, σβ 4.25: 64.00 %"
    square = _all(browser, ".heat rect.point")[4]
    _bring_up(browser, square)
    ActionChains(browser).move_to_element(square).perform()
    title = square.find_element(By.CSS_SELECTOR, "title").get_attribute("textContent")
    _await(lambda: readout.text == title)
    first = _all(browser, ".heat rect.point")[0]
    assert first.get_attribute("tabindex") == "0"
    browser.execute_script("arguments[0].focus()", first)
    seen = [readout.text]
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_LEFT, Keys.ARROW_LEFT):
        browser.switch_to.active_element.send_keys(key)
        seen.append(readout.text)
    assert [text.split(":")[0] for text in seen] == [
        "w1 3, σα 30, σβ 3",
        "w1 3, σα 40, σβ 3",
        "w1 3, σα 40, σβ 4",
        "w1 3, σα 30, σβ 4",
        "w1 3, σα 30, σβ 4",  # the edge
    ]
    stops = _all(browser, ".heat svg:first-of-type .point[tabindex='0']")
    assert len(stops) == 2  # one for each panel: tabbing does not pass through every point


def test_what_is_focused_is_seen_and_named(browser: Chrome, report: Path) -> None:
    _show(browser, report / "index.html")
    body = browser.find_element(By.CSS_SELECTOR, "body")
    body.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    unnamed = browser.execute_script(
        """return [...document.querySelectorAll("a, button, input, summary, img, [role=img]")]
        .filter((e) => !e.ariaLabel && !e.alt && !e.textContent.trim() && !e.labels?.length
        && !e.querySelector("img")?.alt && !e.classList.contains("under"))
        .map((e) => e.outerHTML.slice(0, 90))"""
    )
    assert unnamed == []
    levels = [int(h.tag_name[1]) for h in _all(browser, "h1, h2, h3, h4")]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_without_a_script_all_is_there_to_see(browser: Chrome, report: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((report / "index.html").as_uri())
        for selector in (".compared", ".half.before", ".half.after", ".figure img", ".heat svg"):
            assert all(element.is_displayed() for element in _all(browser, selector))
        halves = [_all(browser, f".half.{half}")[0].rect for half in ("before", "after")]
        assert halves[0]["y"] + halves[0]["height"] <= halves[1]["y"] + 1  # not over one another
        assert not any(e.is_displayed() for e in _all(browser, "input, button, output"))
        shown = [g.get_attribute("data-run") for g in _all(browser, ".curve") if g.is_displayed()]
        assert set(shown) == {"poly_b10_20k", "aspp_s", "aspp_l"}
        named = [label.text for label in _all(browser, "fieldset label") if label.is_displayed()]
        assert set(named) == set(shown)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_paper_is_white_and_shows_both_pictures(browser: Chrome, report: Path) -> None:
    _show(browser, report / "index.html", 768, theme="dark")
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    try:
        background = browser.execute_script(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"
        )
        assert int(background) > 240
        halves = [_all(browser, f".half.{half}")[0].rect for half in ("before", "after")]
        assert halves[0]["y"] + halves[0]["height"] <= halves[1]["y"] + 1
        assert not any(e.is_displayed() for e in _all(browser, "nav, button, input"))
        assert all(d.get_attribute("open") for d in _all(browser, "details"))
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
