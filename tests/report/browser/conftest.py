"""Headless Chromium, and what a test does with it."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
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


class Browser(Chrome):
    """Chromium with the steps that tests take."""

    def get(self, url: str) -> None:
        """Open an address; the driver may come back while the page before it is still there."""
        self.execute_script("window.before = true")
        super().get(url)
        there = "return window.before === undefined && document.readyState === 'complete'"
        self.wait_for(lambda: bool(self.execute_script(there)))

    def show(self, page: Path, width: int = 1280, theme: str = "light") -> None:
        """Open a page of a given width in a theme that the system prefers; forget any choice."""
        self.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        self.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": theme}]},
        )
        self.get(page.as_uri())
        self.execute_script("localStorage.clear()")
        self.get(page.as_uri())

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements of a selector: at least one."""
        found = self.find_elements(By.CSS_SELECTOR, selector)
        assert found, selector
        return found

    def bring_up(self, element: WebElement) -> None:
        """Scroll to an element."""
        self.execute_script(
            "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element
        )

    @staticmethod
    def wait_for(holds: Callable[[], bool]) -> None:
        """Give the page ten seconds to answer a mouse: the driver does not wait for it."""
        until = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < until, "the page did not answer"
            time.sleep(0.05)

    def open_details(self) -> None:
        """Unfold what is folded."""
        self.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
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
    chrome = Browser(options=options, service=Service(driver))
    chrome.get("about:blank")
    yield chrome
    chrome.quit()
