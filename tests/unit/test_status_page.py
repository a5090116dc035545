"""The page /status/ in Chromium, with its real files and policy, Debian's dygraphs and 90 days of data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import Browser
from chart_server import listening, prometheus
from trackbox_host.page import publish
from trackbox_monitoring import page
from trackbox_monitoring.alerts import Problem
from trackbox_monitoring.charts import CHARTS
from trackbox_monitoring.history import Charts

ROLE = Path(__file__).parents[2] / "roles/monitoring"
DYGRAPHS = Path("/usr/share/javascript/dygraphs/dygraph.min.js")
POLICY = yaml.safe_load((ROLE / "meta/wiring.yml").read_text())["monitoring"]["content_security_policies"][0]["value"]
KINDS = {"html": "text/html", "css": "text/css", "js": "application/javascript", "json": "application/json"}
PROBLEMS = [
    Problem("A", "critical", "A critical thing <b>.", "Type `mend`.", "2026-11-30T04:10:15Z"),
    Problem("B", "warning", "Another thing.", "Type `mend`."),
]
# axe checks the accessibility of pages. .ci/tools installs it.
AXE = Path("/usr/local/share/trackbox-tests/axe.min.js")
# The number of charts with a pixel in the colour of the first line.
COLOURED = """(() => {
    const wanted = getComputedStyle(document.documentElement).getPropertyValue('--line-0').trim();
    const [r, g, b] = [1, 3, 5].map(i => parseInt(wanted.slice(i, i + 2), 16));
    const coloured = canvas => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4)
            if (data[i] === r && data[i + 1] === g && data[i + 2] === b) return true;
        return false;
    };
    return [...document.querySelectorAll('.plot')].filter(plot => [...plot.querySelectorAll('canvas')].some(coloured))
        .length;
})()"""
pytestmark = [
    pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed: make tools"),
    pytest.mark.skipif(not DYGRAPHS.exists(), reason="libjs-dygraphs is not installed: make tools"),
]


def values(query: str, times: list[float]) -> list[tuple[Mapping[str, str], Mapping[float, float]]]:
    """Return the series of a query: three over the whole range for a chart, an event in its middle for a mark."""
    if "version_info" in query or "served" in query:
        return []
    if "start_time" in query or "boot_time" in query or query.startswith("max(trackbox_job_last"):
        middle = times[len(times) // 2]
        return [({"unit": "mlflow"}, dict.fromkeys(times[len(times) // 2 :], middle))]
    found: list[tuple[Mapping[str, str], Mapping[float, float]]] = []
    for number, name in enumerate(("mlflow", "s3", "a-name-that-is-quite-long-for-a-phone")):
        labels = dict.fromkeys(("service", "name", "model", "mountpoint", "bucket", "reason", "feature"), name)
        labels["version"] = str(7 + number)
        # The first series has a gap.
        series = {
            moment: 3.7 * number + (i * 7 % 50) / 3 for i, moment in enumerate(times) if number or not 50 < i < 90
        }
        found.append((labels, series))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all files of the page."""
    folder = tmp_path_factory.mktemp("status")
    publish(folder, page.page(PROBLEMS, "2026-11-30T05:00:00Z"))
    with prometheus(values) as address:
        services = {chart.service for chart in CHARTS}
        assert Charts(address, folder, services, 15).write_due() == ""
    for name in ("charts.js", "charts.css"):
        shutil.copy(ROLE / "files" / name, folder)
    shutil.copy(DYGRAPHS, folder / "dygraph.js")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Serve the page as NGINX does; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = folder / (self.path.removeprefix("/status/") or "index.html")
            found = path.is_file() and self.path.startswith("/status/")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", KINDS.get(path.suffix[1:], "text/plain"))
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(path.read_bytes() if found else b"")

        def log_message(self, *_: Any) -> None:
            pass

    with listening(Handler) as server:
        yield f"http://{server}/status/"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Yield a browser."""
    with Browser(tmp_path_factory.mktemp("profile"), "ada", "x") as found:
        yield found


def show(browser: Browser, url: str, width: int = 1280, scheme: str = "light") -> None:
    """Open the page in a window of this width, with this colour scheme."""
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(url, ["Requests by service", "Events"])


def press(browser: Browser, key: str) -> None:
    """Press a key."""
    for kind in ("rawKeyDown", "keyUp"):
        code = {"Tab": 9, "Enter": 13, "ArrowLeft": 37}[key]
        more = {"text": "\r"} if key == "Enter" and kind == "rawKeyDown" else {}
        browser.ask(
            "Input.dispatchKeyEvent", type="keyDown" if more else kind, key=key, windowsVirtualKeyCode=code, **more
        )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_charts_are_drawn_and_nothing_complains(
    browser: Browser, address: str, width: int, scheme: str, folder: Path
) -> None:
    show(browser, f"{address}#90d", width, scheme)
    assert browser.complaints() == []
    assert {url.split("#")[0] for url in browser.requested() if not url.startswith("about:")} == {
        address,
        *(f"{address}{name}" for name in ("style.css", "charts.css", "dygraph.js", "charts.js", "charts-90d.json")),
    }
    assert browser.run("document.querySelectorAll('.plot canvas').length") == 2 * len(CHARTS)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window"
    assert browser.run(COLOURED) == len(CHARTS)


def test_the_files_of_90_days_are_small(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    assert all(size < 150_000 for size in sizes.values()), sizes


def test_a_range_is_chosen_with_the_keyboard_and_values_are_read_with_arrows(browser: Browser, address: str) -> None:
    show(browser, address)
    assert browser.run("document.querySelector('nav [aria-pressed=true]').value") == "24h"
    press(browser, "Tab")
    assert browser.run("document.activeElement.value") == "1h"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(browser, "Enter")
    browser.wait("document.querySelector('nav [aria-pressed=true]').value === '1h' && location.hash === '#1h'")
    browser.wait("document.querySelector('#charts').dataset.range === '1h'")
    for _ in range(4):
        press(browser, "Tab")
    assert browser.run("document.activeElement.className") == "plot"
    table = "document.activeElement.parentElement.querySelector('table').innerText"
    assert browser.run(table).splitlines()[0].split() == ["Last", "Lowest", "Highest"]
    press(browser, "ArrowLeft")
    assert "Last" not in browser.run(table)
    assert (
        browser.run("[...document.querySelectorAll('.chart table')].filter(t => t.innerText.includes('Last')).length")
        == 0
    )
    assert browser.complaints() == []


def test_each_chart_has_a_text_that_says_its_values(browser: Browser, address: str) -> None:
    show(browser, address)
    labels = browser.run("[...document.querySelectorAll('.plot')].map(plot => plot.getAttribute('aria-label'))")
    assert len(labels) == len(CHARTS)
    assert labels[0].startswith("Requests by service. Last, lowest and highest value: mlflow ")
    assert browser.run("document.querySelector('#chart-latency table').innerText").count("s") > 3
    assert "mlflow started" in browser.run("document.querySelector('#events').innerText")


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: make tools")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_core_finds_nothing(browser: Browser, address: str, width: int, scheme: str) -> None:
    show(browser, address, width, scheme)
    browser.run(f"{AXE.read_text()}; 0")
    found = browser.run("axe.run().then(done => done.violations.map(each => [each.id, each.nodes.map(n => n.html)]))")
    assert found == []


def test_the_sentences_are_renewed_without_loading_the_page(browser: Browser, address: str, folder: Path) -> None:
    show(browser, address)
    assert "2 things are wrong." in browser.text()
    assert "A critical thing <b>." in browser.text()
    browser.run("window.kept = true")
    publish(folder, page.page([], "2026-11-30T06:00:00Z"))
    try:
        browser.run("document.dispatchEvent(new Event('visibilitychange'))")
        browser.wait("document.querySelector('h1').innerText === 'All is well.'")
        assert browser.run("kept && document.title") == "All is well. · Trackbox"
        assert "A critical thing" not in browser.text()
        # If monitoring does not run, NGINX responds with an error. The page must then show that its status is old.
        (folder / "index.html").rename(folder / "gone.html")
        browser.run("document.dispatchEvent(new Event('visibilitychange'))")
        browser.wait("document.querySelector('header').innerText.includes('again: the answer has the status 404')")
    finally:
        publish(folder, page.page(PROBLEMS, "2026-11-30T05:00:00Z"))


def test_a_range_that_is_not_written_yet_says_so_and_shows_no_other_one(
    browser: Browser, address: str, folder: Path
) -> None:
    (folder / "charts-7d.json").rename(folder / "away")
    try:
        show(browser, f"{address}#1h")
        browser.run("document.querySelector('nav [value=\"7d\"]').click()")
        browser.wait("document.body.innerText.includes('The charts of this range are being computed.')")
        assert browser.run("document.querySelectorAll('.plot').length") == 0
    finally:
        (folder / "away").rename(folder / "charts-7d.json")


def test_the_charts_are_drawn_if_the_address_has_a_name_and_a_password(browser: Browser, address: str) -> None:
    show(browser, address.replace("//", "//ada:secret@"))
    assert browser.complaints() == []


def test_without_dygraphs_the_sentences_are_still_renewed(browser: Browser, address: str, folder: Path) -> None:
    (folder / "dygraph.js").rename(folder / "away")
    try:
        browser.open(address, ["The charts cannot be drawn, because dygraph.js was not loaded."])
        publish(folder, page.page([], "2026-11-30T06:00:00Z"))
        browser.run("document.dispatchEvent(new Event('visibilitychange'))")
        browser.wait("document.querySelector('h1').innerText === 'All is well.'")
    finally:
        (folder / "away").rename(folder / "dygraph.js")
        publish(folder, page.page(PROBLEMS, "2026-11-30T05:00:00Z"))
