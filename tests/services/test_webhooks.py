"""Where webhooks may go: addresses and networks, and whether MLflow's own filter must let them."""

import pytest
from webhooks import private_networks, target_problems


def test_addresses_and_networks_are_right() -> None:
    assert target_problems(["192.0.2.10", "192.0.2.0/24", "2001:db8::/32", "192.0.2.10/24"]) == []


@pytest.mark.parametrize("target", ["hooks.example.org", "https://192.0.2.10/", "192.0.2.10:443", "", "any"])
def test_anything_else_is_refused_with_a_remedy(target: str) -> None:
    assert target_problems([target]) == [
        f"mlflow_webhook_targets: {target!r} is no address: write it as 192.0.2.10, a network as 192.0.2.0/24."
    ]


def test_a_private_target_is_told_from_a_public_one() -> None:
    assert private_networks(["10.1.2.3", "8.8.8.8", "fd00::/8", "8.8.0.0/16", "192.168.0.0/16"]) == [
        "10.1.2.3",
        "fd00::/8",
        "192.168.0.0/16",
    ]
