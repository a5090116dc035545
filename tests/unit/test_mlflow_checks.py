"""Checks of MLflow: invalid settings and impossible upgrades are refused. Also the filter for networks of webhooks."""

from typing import Any

import pytest
from mlflow_checks import mlflow_pending, mlflow_problems, mlflow_upgrade_problem, private_networks

SETTINGS: dict[str, Any] = {
    "mlflow_webhook_targets": [],
    "mlflow_workers": 2,
    "mlflow_worker_memory_mb": "512",
    "mlflow_gc_days": 30,
    "mlflow_version": "3.17.2",
    "mlflow_requirements": "mlflow==3.17.2 \\\n    --hash=sha256:0",
    "mlflow_encryption_passphrase": "x" * 32,
}
WANTED = {"environment": "3.17.2-40fac1c4", "version": "3.17.2", "revision": "dc11", "collation": "utf8mb4_0900_bin"}
FOUND = {**WANTED, "free": str(10**10), "size": "100000000"}


def test_good_settings_pass() -> None:
    assert mlflow_problems(SETTINGS) == []
    targets = ["192.0.2.10", "192.0.2.0/24", "2001:db8::/32", "192.0.2.10/24"]
    assert mlflow_problems({**SETTINGS, "mlflow_webhook_targets": targets}) == []
    assert mlflow_problems({**SETTINGS, "mlflow_gc_days": "0"}) == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"mlflow_workers": 0}, "mlflow_workers is 0: it must be 1 or more."),
        (
            {"mlflow_worker_memory_mb": "511"},
            "mlflow_worker_memory_mb is 511: MLflow takes 300 MB when it starts; give it 512 or more.",
        ),
        (
            {"mlflow_encryption_passphrase": "geheim" * 5},
            "mlflow_encryption_passphrase is too short: give it 32 characters or more.",
        ),
        ({"mlflow_gc_days": -1}, "mlflow_gc_days is -1: it must be 0, which collects nothing, or more."),
        (
            {"mlflow_version": "3.99.0"},
            "mlflow_version is 3.99.0, and mlflow_requirements lock another: change both.",
        ),
    ],
)
def test_a_setting_with_which_mlflow_cannot_work_is_refused(changed: dict[str, Any], sentence: str) -> None:
    assert mlflow_problems({**SETTINGS, **changed}) == [sentence]


@pytest.mark.parametrize("target", ["hooks.example.org", "https://192.0.2.10/", "192.0.2.10:443", "", "any"])
def test_a_webhook_target_that_is_no_address_is_refused_with_a_remedy(target: str) -> None:
    assert mlflow_problems({**SETTINGS, "mlflow_webhook_targets": [target]}) == [
        f"mlflow_webhook_targets: {target!r} is no address: write it as 192.0.2.10, a network as 192.0.2.0/24."
    ]


def test_a_private_target_is_told_from_a_public_one() -> None:
    assert private_networks(["10.1.2.3", "8.8.8.8", "fd00::/8", "8.8.0.0/16", "192.168.0.0/16"]) == [
        "10.1.2.3",
        "fd00::/8",
        "192.168.0.0/16",
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"environment": ""}, "vm has no installation of Trackbox"),
        ({"size": None}, "The database of vm does not answer, and nothing was changed: ERROR 2002"),
        ({"environment": "3.17.10-0"}, "vm has MLflow 3.17.10, and this checkout pins 3.17.2: a downgrade of its"),
        # An upgrade makes a dump of 120 MB, and 500 MB must stay free. Without an upgrade there is no dump.
        ({"environment": "3.9.0-0", "free": "620000000"}, ""),
        (
            {"environment": "3.9.0-0", "free": "619999999"},
            "vm has 619 MB free under /var/lib, and the dump of MLflow's database may take 620 MB: make room",
        ),
        ({"free": "0"}, ""),
        # The conversion of a collation copies each table, so it needs more space.
        ({"collation": "utf8mb4_bin", "free": "719999999"}, "vm has 719 MB free under /var/lib, and the dump of"),
        ({"collation": "utf8mb4_bin", "free": "720000000"}, ""),
    ],
)
def test_an_upgrade_that_is_not_possible_is_refused(changed: dict[str, str | None], said: str) -> None:
    found = {name: value for name, value in {**FOUND, **changed}.items() if value is not None}
    sentence = mlflow_upgrade_problem(found, "vm", WANTED, 500, "ERROR 2002")
    assert sentence.startswith(said)
    assert bool(sentence) == bool(said)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, []),
        ({"unfinished": "/var/lib/trackbox/dumps/x"}, ["MLflow 3.17.2 (schema dc11) -> 3.17.2 (schema dc11)"]),
        (
            {"environment": "3.6.0-0", "revision": "bf29"},
            ["MLflow 3.6.0 (schema bf29) -> 3.17.2 (schema dc11)"],
        ),
        (
            {"collation": "utf8mb4_bin"},
            [
                "MLflow 3.17.2 (schema dc11) -> 3.17.2 (schema dc11), collation utf8mb4_bin -> utf8mb4_0900_bin",
            ],
        ),
    ],
)
def test_what_is_behind_gets_a_line(changed: dict[str, str], line: list[str]) -> None:
    assert mlflow_pending({**FOUND, **changed}, WANTED) == line
