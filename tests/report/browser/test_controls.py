"""The report's controls by mouse and keys: the theme, the slider, the charts."""

from pathlib import Path
from typing import Any

from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys


def test_the_button_changes_the_theme_and_the_next_page_keeps_it(
    browser: Any, report: Path
) -> None:
    browser.show(report / "index.html", theme="light")
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(colour)
    (button,) = browser.all("#theme")
    assert button.text == "Dark theme"
    button.send_keys(Keys.ENTER)
    dark = browser.execute_script(colour)
    assert dark != light
    assert button.text == "Light theme"
    browser.get((report / "runs" / "aspp_l.html").as_uri())
    assert browser.execute_script(colour) == dark
    browser.find_element(By.ID, "theme").click()
    assert browser.execute_script(colour) == light


def test_the_slider_moves_by_keys_and_by_dragging(browser: Any, report: Path) -> None:
    browser.show(report / "index.html", 375)
    figure = browser.all(".compare")[0]
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
    browser.bring_up(stack)
    ActionChains(browser).move_to_element(stack).click_and_hold().move_by_offset(
        int(width / 4), 0
    ).release().perform()
    browser.wait_for(lambda: abs(int(slider.get_attribute("value")) - 75) <= 1)
    other = browser.all(".compare")[1].find_element(By.CSS_SELECTOR, "input")
    assert other.get_attribute("value") == "50"
    beneath = browser.find_element(By.ID, "beneath")
    photograph = figure.find_element(By.CSS_SELECTOR, ".under")
    assert not photograph.is_displayed()
    beneath.send_keys(Keys.SPACE)
    assert photograph.is_displayed()


def test_the_trimap_chart_answers_the_mouse_and_the_keys(browser: Any, report: Path) -> None:
    browser.show(report / "index.html")
    readout = browser.all(".trimap output")[0]
    slider = browser.all(".trimap input[type=range]")[0]
    assert readout.text.splitlines()[0] == "10 px, mean IOU (%)"
    # aspp_l: 25.5 more than the width before the CRF, 45.5 after it
    assert "aspp_l: before 35.50, after 55.50" in readout.text
    slider.send_keys(Keys.ARROW_LEFT)
    assert "aspp_l: before 34.50, after 54.50" in readout.text
    assert slider.get_attribute("aria-valuetext") == "9 pixels"
    slider.send_keys(Keys.HOME)
    assert "aspp_l: before -, after -" in readout.text  # nothing within one pixel
    chart = browser.all(".trimap > svg")[0]
    browser.bring_up(chart)
    # the frame is 640 of 720 wide and starts at 64; its middle is width 6
    offset = (64 + 320 - 360) * chart.size["width"] / 720
    ActionChains(browser).move_to_element_with_offset(chart, int(offset), 0).perform()
    browser.wait_for(lambda: readout.text.splitlines()[0] == "6 px, mean IOU (%)")
    assert "aspp_l: before 31.50, after 51.50" in readout.text
    assert "fov_7x7_r4" not in readout.text
    curve = browser.find_element(By.CSS_SELECTOR, ".curve[data-run=fov_7x7_r4]")
    assert not curve.is_displayed()
    box = browser.find_element(By.CSS_SELECTOR, "fieldset input[data-run=fov_7x7_r4]")
    box.send_keys(Keys.SPACE)
    assert curve.is_displayed()
    assert "fov_7x7_r4: before 16.00, after 36.00" in readout.text


def test_the_heat_map_answers_the_mouse_and_the_arrow_keys(browser: Any, report: Path) -> None:
    browser.show(report / "index.html")
    readout = browser.all(".search .readout")[0]
    assert readout.text == "w1 3.75, σα 52.5, σβ 4.25: 64.00 %"
    square = browser.all(".heat rect.point")[4]
    browser.bring_up(square)
    ActionChains(browser).move_to_element(square).perform()
    title = square.find_element(By.CSS_SELECTOR, "title").get_attribute("textContent")
    browser.wait_for(lambda: readout.text == title)
    first = browser.all(".heat rect.point")[0]
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
    stops = browser.all(".heat svg:first-of-type .point[tabindex='0']")
    assert len(stops) == 2  # one for each panel: tabbing does not pass through every point
