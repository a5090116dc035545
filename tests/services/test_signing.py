"""Presigned URLs, from which NGINX fetches artifacts."""

import ast
from pathlib import Path
from typing import Any

import pytest
from asgi import STORE, empty_database, object_of, settings, signing
from mlflow.utils.uri import validate_path_is_safe
from werkzeug.http import parse_options_header

__all__ = ["empty_database", "settings"]

NAMES = [
    "a(1).txt",
    "café.txt",
    "a;b.txt",
    "100%.txt",
    "a+b=c",
    'it\'s "so".txt',
    "💾.bin",
    "back\\slash",
    "a?b&c",
    "x/[y]/z~",
]


@pytest.fixture
def paths(settings: dict[str, str]) -> Any:
    return signing.ArtifactPaths(signing.Signer(STORE), "s3://mlflow/kept here", validate_path_is_safe)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_mlflow_takes_has_an_address(paths: Any, method: str, name: str) -> None:
    address = paths.address(method, f"7/{name}")
    assert object_of(address) == f"mlflow/kept here/7/{name}"
    assert address.isascii()
    assert "X-Amz-Signature=" in address


@pytest.mark.parametrize(
    "name", ["", "7/", "../x", "7/../x", "7/%2e%2e/x", "7/%252e%252e/x", "/x", "7/a#b", "C:/x", "file:///etc/passwd"]
)
def test_what_is_no_file_of_the_store_is_left_to_mlflow(paths: Any, name: str) -> None:
    assert {paths.address(method, name) for method in ("GET", "HEAD", "PUT")} == {""}


@pytest.mark.parametrize("method", ["DELETE", "POST", "OPTIONS", "get", ""])
def test_other_methods_are_left_to_mlflow(paths: Any, method: str) -> None:
    assert paths.address(method, "7/x") == ""


@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name])
def test_a_browser_saves_an_artifact_under_its_name(name: str) -> None:
    value = signing.attachment(name)
    assert value.isascii()
    disposition, options = parse_options_header(value)
    assert (disposition, options["filename"]) == ("attachment", name)


def test_every_download_of_mlflows_server_is_one_that_signed_store_redirects() -> None:
    """If this test fails, a route of MLflow downloads files with another method, and spools them. Patch that method."""
    import mlflow.server

    called = set()
    for path in Path(mlflow.server.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("download"):
                called.add(node.attr)
    # This method needs no patch, because it returns parsed traces and no file. Archives of traces are off by default.
    assert called - {"download_archived_trace_data"} == {
        name for name in vars(signing.signed_store(object, "")) if "download" in name
    }
