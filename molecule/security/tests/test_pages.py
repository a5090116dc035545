"""In a browser, a viewer opens every page of MLflow and downloads artifacts, and an admin uses MinIO's console."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from machine import Machine

# For each page: the path after /#/, and words that the complete page shows.
PAGES = {
    "": ["Welcome to MLflow"],
    "experiments": ["pages"],
    "experiments/{experiment}/runs": ["first", "second"],
    "experiments/{experiment}/runs?compareRunsMode=CHART": ["loss"],
    "experiments/{experiment}/models": ["model"],
    "experiments/{experiment}/traces": ["Traces"],
    "compare-runs?runs=[%22{first}%22,%22{second}%22]&experiments=[%22{experiment}%22]": ["first", "second", "rate"],
    "experiments/{experiment}/runs/{second}": ["second", "rate"],
    "experiments/{experiment}/runs/{second}/model-metrics": ["loss"],
    "experiments/{experiment}/runs/{first}/artifacts/note.txt": ["the text of the note"],
    "experiments/{experiment}/runs/{first}/artifacts/page.html": ["page.html", 'sandbox="allow-scripts"'],
    "experiments/{experiment}/runs/{first}/artifacts/picture.png": ["picture.png"],
    "experiments/{experiment}/runs/{first}/artifacts/table.json": ["the cell of the table"],
    "models": ["pages"],
    "models/pages": ["pages", "Version 1"],
    "models/pages/versions/1": ["pages", "Version 1"],
    "prompts": ["Prompts"],
}
# Expected errors: MLflow's own user management is off, NGINX refuses the assistant, a video of mlflow.org is blocked.
USUAL = "404 .*/mlflow/users/current|403 .*/mlflow/assistant/|Loading media from  'https://mlflow.org/"


@pytest.fixture(scope="module")
def pages(machine: Machine) -> dict[str, Any]:
    """Create an experiment with two runs and a model; return the ids of the experiment and the runs."""
    made: dict[str, Any] = json.loads(machine.run_client("client_pages.py").splitlines()[-1])
    return {"experiment": made["experiment"], "first": made["runs"][0], "second": made["runs"][1]}


@pytest.fixture(scope="module")
def browser(viewer: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Yield a browser that is logged in as the viewer."""
    with Browser(tmp_path_factory.mktemp("profile"), **viewer) as found:
        yield found


@pytest.mark.parametrize("page", PAGES)
def test_a_viewer_opens_a_page(machine: Machine, browser: Browser, pages: dict[str, Any], page: str) -> None:
    browser.open(f"{machine.url}/#/{page.format(**pages)}", PAGES[page])
    assert [what for what in browser.complaints() if not re.search(USUAL, what)] == []


@pytest.mark.parametrize(
    ("path", "start"), [("note.txt", b"the text"), ("picture.png", b"\x89PNG"), ("page.html", b"<h1>")]
)
def test_a_viewer_downloads_an_artifact(browser: Browser, pages: dict[str, Any], path: str, start: bytes) -> None:
    script = f"""fetch('get-artifact?path={path}&run_uuid={pages["first"]}').then(async answer =>
        [answer.status, ...new Uint8Array(await answer.arrayBuffer())])"""
    status, *data = browser.run(script)
    assert (status, bytes(data[: len(start)])) == (200, start)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_viewer_sees_the_charts_of_the_status(machine: Machine, browser: Browser, width: int) -> None:
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    try:
        browser.open(f"{machine.url}/status/#1h", ["CPU", "Memory", "Disk used", "Queries to the database", "Until "])
        assert browser.complaints() == []
        assert [url for url in browser.requested() if not url.startswith((f"{machine.url}/status/", "about:"))] == []
        assert browser.run("document.querySelectorAll('.plot canvas').length") >= 10
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    finally:
        browser.ask("Emulation.clearDeviceMetricsOverride")


def test_an_admin_finds_the_objects_in_the_console_of_minio(
    machine: Machine, browser: Browser, pages: dict[str, Any], tmp_path: Path
) -> None:
    with Browser(tmp_path, "admin", machine.secret("admin_password")) as admin:
        admin.open(f"{machine.url}/minio/login", ["Login"])
        login = {"accessKey": "trackbox-root", "secretKey": machine.secret("minio_root_password")}
        assert (
            admin.run(
                f"""fetch('api/v1/login', {{method: 'POST', headers: {{'Content-Type': 'application/json'}},
            body: {json.dumps(json.dumps(login))}}}).then(answer => answer.status)"""
            )
            == 204
        )
        admin.open(f"{machine.url}/minio/browser/mlflow", ["mlflow", pages["experiment"]])
        assert admin.complaints() == []
        # The browser sends the session cookie only to the console and not to MLflow. No script can read the cookie.
        [cookie] = admin.ask("Network.getCookies", urls=[f"{machine.url}/minio/"])["cookies"]
        shown = {name: cookie[name] for name in ("name", "path", "secure", "httpOnly", "sameSite")}
        assert shown == {"name": "token", "path": "/minio/", "secure": True, "httpOnly": True, "sameSite": "Strict"}
        assert admin.ask("Network.getCookies", urls=[machine.url, f"{machine.url}/api/"])["cookies"] == []
        assert admin.run("fetch('/minio/api/v1/session').then(answer => answer.status)") == 200
        logout = (
            "fetch('/minio/api/v1/logout', {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}})"
        )
        assert admin.run(f"{logout}.then(answer => answer.status)") == 200
        assert admin.ask("Network.getCookies", urls=[f"{machine.url}/minio/"])["cookies"] == []
        assert admin.run("fetch('/minio/api/v1/session').then(answer => answer.status)") == 403
