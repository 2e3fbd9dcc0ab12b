"""The report opened from disk: what it asks for; its looks by width, theme and without script."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

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


@pytest.mark.parametrize("name", ["index.html", "runs/aspp_l.html", "runs/fov_4x4_r8.html"])
def test_a_page_loads_without_error_and_asks_for_its_own_files_alone(
    browser: Any, report: Path, name: str
) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # of the pages before
    browser.show(report / name)
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
    browser: Any, report: Path, name: str, width: int
) -> None:
    browser.show(report / name, width)
    browser.open_details()
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
    for box in browser.all(".scroll"):
        assert box.get_attribute("tabindex") == "0"
        assert box.get_attribute("aria-label")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_stand_out_in_both_themes(browser: Any, report: Path, theme: str) -> None:
    for name in ("index.html", "runs/aspp_l.html"):
        browser.show(report / name, theme=theme)
        browser.open_details()
        dark = browser.execute_script(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 128"
        )
        assert dark == (theme == "dark")
        texts = "p, li, a, th, td, dt, dd, h1, h2, summary, button, label, .verdict, .detail, text"
        found = browser.execute_script(CONTRASTS, texts)
        assert len(found) > 50
        assert [text for contrast, text in found if contrast < 4.5] == []
    browser.show(report / "index.html", theme=theme)
    lines = browser.execute_script(
        CONTRASTS.replace("style.fill : style.color", "style.stroke : style.color"), ".line"
    )
    assert [text for contrast, text in lines if contrast < 3] == []


def test_what_is_focused_is_seen_and_named(browser: Any, report: Path) -> None:
    browser.show(report / "index.html")
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
    levels = [int(h.tag_name[1]) for h in browser.all("h1, h2, h3, h4")]
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_without_a_script_all_is_there_to_see(browser: Any, report: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((report / "index.html").as_uri())
        for selector in (".compared", ".half.before", ".half.after", ".figure img", ".heat svg"):
            assert all(element.is_displayed() for element in browser.all(selector))
        halves = [browser.all(f".half.{half}")[0].rect for half in ("before", "after")]
        assert halves[0]["y"] + halves[0]["height"] <= halves[1]["y"] + 1  # not over one another
        assert not any(e.is_displayed() for e in browser.all("input, button, output"))
        shown = [g.get_attribute("data-run") for g in browser.all(".curve") if g.is_displayed()]
        assert set(shown) == {"poly_b10_20k", "aspp_s", "aspp_l"}
        named = [label.text for label in browser.all("fieldset label") if label.is_displayed()]
        assert set(named) == set(shown)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_paper_is_white_and_shows_both_pictures(browser: Any, report: Path) -> None:
    browser.show(report / "index.html", 768, theme="dark")
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    try:
        background = browser.execute_script(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"
        )
        assert int(background) > 240
        halves = [browser.all(f".half.{half}")[0].rect for half in ("before", "after")]
        assert halves[0]["y"] + halves[0]["height"] <= halves[1]["y"] + 1
        assert not any(e.is_displayed() for e in browser.all("nav, button, input"))
        assert all(d.get_attribute("open") for d in browser.all("details"))
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
