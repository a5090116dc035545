"""The filters `target_problems` and `private_networks`, of the addresses that MLflow's webhooks may reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import Any


def target_problems(targets: Sequence[str]) -> list[str]:
    """Return a sentence for each target that is neither an address nor a network."""
    problems = []
    for target in targets:
        try:
            ip_network(target, strict=False)
        except ValueError:
            problems.append(
                f"mlflow_webhook_targets: {target!r} is no address: write it as 192.0.2.10, a network as 192.0.2.0/24."
            )
    return problems


def private_networks(targets: Sequence[str]) -> list[str]:
    """Return the targets that are not public, to which MLflow lets no webhook go by itself."""
    return [target for target in targets if not ip_network(target, strict=False).is_global]


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"private_networks": private_networks, "target_problems": target_problems}
