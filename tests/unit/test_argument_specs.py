"""Each role's argument_specs.yml lists exactly the role's defaults, with their types. Each default has a comment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from trackbox import fits

ROOT = Path(__file__).parents[2]
ROLES = {path.parents[1].name: path.parents[1] for path in ROOT.glob("roles/*/defaults/main.yml")}
PREFIXES = {"wiring": "trackbox"}
# Variables that other roles also declare, although the variables do not carry the names of these roles.
SHARED = {
    *("nginx_tls", "nginx_http_port", "minio_data_dir", "serving_models", "serving_max_body_mb"),
    *("serving_requests_at_once", "serving_requests_per_second", "monitoring_enabled"),
}
SECRETS = ("password", "secret", "passphrase", "salt")
PUBLIC = {"trackbox_secrets", "local_vm_secrets"}  # paths of folders, which are not secret

every_role = pytest.mark.parametrize("role", sorted(ROLES))


def defaults(role: str) -> dict[str, Any]:
    """Return the role's defaults without rendering their Jinja2 expressions."""
    loaded: dict[str, Any] = yaml.safe_load((ROLES[role] / "defaults/main.yml").read_text())
    return loaded


def specs(role: str) -> dict[str, dict[str, Any]]:
    """Return the specifications of the role's variables."""
    text = (ROLES[role] / "meta/argument_specs.yml").read_text()
    [entry] = yaml.safe_load(text)["argument_specs"].values()
    options: dict[str, dict[str, Any]] = entry["options"]
    return options


def parts(options: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and specification of every option, including nested options."""
    for name, option in options.items():
        yield name, option
        yield from parts(option.get("options", {}))


def test_a_role_with_variables_has_both_files() -> None:
    services = yaml.safe_load((ROOT / "roles/wiring/vars/main/services.yml").read_text())["wiring_services"]
    assert {*services} <= {*ROLES} == {path.parts[-3] for path in ROOT.glob("roles/*/meta/argument_specs.yml")}


@every_role
def test_the_same_variables_stand_in_both_in_the_same_order(role: str) -> None:
    assert list(specs(role)) == list(defaults(role))


@every_role
def test_a_public_variable_carries_its_roles_name(role: str) -> None:
    prefix = PREFIXES.get(role, role) + "_"
    assert [name for name in defaults(role) if not name.startswith(prefix) and name not in SHARED] == []


@every_role
def test_every_default_fits_its_type(role: str) -> None:
    known = specs(role)
    wrong = [
        name
        for name, value in defaults(role).items()
        if not (isinstance(value, str) and value.startswith("{{")) and not fits(value, known[name])
    ]
    assert wrong == []


@every_role
def test_every_option_is_described_in_a_sentence_of_its_own(role: str) -> None:
    described = [option.get("description", "") for option in specs(role).values()]
    assert [text for text in described if not text.endswith(".")] == []
    assert [name for name, option in parts(specs(role)) if not option.get("description")] == []


@every_role
def test_every_option_has_a_type_and_a_list_says_of_what(role: str) -> None:
    known = dict(parts(specs(role)))
    assert [name for name, option in known.items() if "type" not in option] == []
    assert [name for name, option in known.items() if option["type"] == "list" and "elements" not in option] == []
    assert [
        name for name, option in known.items() if option.get("elements") == "dict" and "options" not in option
    ] == []


@every_role
def test_every_secret_is_marked_as_one(role: str) -> None:
    called = [
        name
        for name, option in parts(specs(role))
        if any(word in name for word in SECRETS) and name not in PUBLIC and not option.get("no_log")
    ]
    assert called == []


@every_role
def test_every_default_has_a_comment_above_it(role: str) -> None:
    lines = (ROLES[role] / "defaults/main.yml").read_text().splitlines()
    bare = []
    for number, line in enumerate(lines):
        if line[:1].isalpha():
            above = number
            # Variables without an empty line between them share a comment.
            while above and lines[above - 1] and not lines[above - 1].startswith("#"):
                above -= 1
            if not lines[above - 1].startswith("#"):
                bare.append(line)
    assert bare == []
