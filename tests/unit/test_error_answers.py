"""NGINX replaces the object store's XML errors by JSON in MLflow's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

NGINX = Path(__file__).parents[2] / "roles/nginx"
ANSWERS = yaml.safe_load((NGINX / "vars/main.yml").read_text())["__nginx_answers"]


def answered(others: list[int]) -> set[int]:
    """Return the statuses of `error_page`, as a template of a door renders them."""
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(NGINX / "templates"), autoescape=True)
    macros: Any = templates.get_template("errors.j2").module
    return {int(status) for status in macros.answered(others=others).split()}


def test_every_replaced_error_has_a_message() -> None:
    assert answered([]) - set(ANSWERS) == set()
    assert answered([403, 500]) == answered([]) - {403, 500}


# The statuses of MinIO's errors for an object: InvalidArgument, NoSuchKey, MethodNotAllowed, ObjectExistsAsDirectory,
# MissingContentLength, PreconditionFailed, EntityTooLarge, InvalidRange, TooManyRequests, NotImplemented, StorageFull.
@pytest.mark.parametrize("status", [400, 404, 405, 409, 411, 412, 413, 416, 429, 501, 507])
def test_an_error_of_the_object_store_is_replaced(status: int) -> None:
    assert status in answered([403, 500])
