"""Each patch works with the locked library versions. If a library lacks what a patch needs, a line is logged."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from trackbox_mlflow import patches
from trackbox_mlflow.draining import drain_connections
from trackbox_mlflow.signing import Signer, guess_type

pytest.importorskip("mlflow")

ENTRIES = dict(patches.entries())


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in ENTRIES.values():
        monkeypatch.setattr(entry, "logged", False)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_works_with_the_locked_versions_and_says_what_it_is(name: str) -> None:
    entry = ENTRIES[name]
    assert entry.available()
    assert entry.get() is not None
    assert all((entry.what, entry.gain, entry.tested, entry.without, entry.upstream))
    assert "3.17.2" in entry.tested or "0.54.0" in entry.tested


@pytest.mark.parametrize("name", ENTRIES)
def test_without_a_name_an_entry_is_not_available_and_one_line_is_logged(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ENTRIES[name]
    entry.find()
    module, _, attribute = entry.needs[-1].partition(":")
    monkeypatch.delattr(sys.modules[module], attribute.split(".")[0])
    with caplog.at_level(logging.WARNING):
        assert not entry.available()
        assert entry.get() is None
        assert entry.get() is None
    [line] = caplog.messages
    assert line.startswith(f"{entry.needs[0]}: ")
    assert line.endswith(f"(tested with {entry.tested}), so {entry.without}.")


def test_a_library_that_keeps_its_state_elsewhere_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cycle:
        def __init__(self, **_: Any) -> None:
            self.other = 1

    monkeypatch.setattr("uvicorn.protocols.http.httptools_impl.RequestResponseCycle", Cycle)
    assert not patches.DRAIN.available()
    assert drain_connections() == "httptools"


def test_a_select_without_its_private_attributes_does_not_fit() -> None:
    assert not patches.select_fits(SimpleNamespace(_limit=1, _offset=0))


def test_a_registry_that_hands_out_copies_does_not_fit() -> None:
    store = SimpleNamespace(download_artifacts=1, parse_s3_compliant_uri=1)
    assert not patches.store_fits(lambda: {"s3": store}, store)


def test_the_type_of_a_file_is_known_without_mlflows_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("mlflow.utils.mime_type_utils._guess_mime_type")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert Signer("http://127.0.0.1:9000").mime_type is guess_type
    assert (guess_type("a/b.json"), guess_type("MLmodel")) == ("application/json", "application/octet-stream")
