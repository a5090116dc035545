"""Filters about MLflow: checks of the settings and of upgrades, and the networks that webhooks may reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from ansible.module_utils.compat.version import LooseVersion

# The disk space for the dump, and for the conversion of the collation, which copies each table. Both are multiples of
# the schema's size.
DUMP_SHARE, CONVERSION_SHARE = 1.2, 1.0


def target_problems(targets: Sequence[str]) -> list[str]:
    """Return an error message for each target of webhooks that is neither an IP address nor a network."""
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
    """Return the webhook targets that are not public. MLflow sends webhooks to them only if a setting allows it."""
    return [target for target in targets if not ip_network(target, strict=False).is_global]


def mlflow_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return an error message for each setting with which MLflow cannot work. settings: the role's variables."""
    workers, memory, days, version = (
        settings[f"mlflow_{name}"] for name in ("workers", "worker_memory_mb", "gc_days", "version")
    )
    checks = {
        f"mlflow_workers is {workers}: it must be 1 or more.": int(workers) >= 1,
        f"mlflow_worker_memory_mb is {memory}: MLflow takes 300 MB when it starts; give it 512 or more.": (
            int(memory) >= 512
        ),
        "mlflow_encryption_passphrase is too short: give it 32 characters or more.": (
            len(settings["mlflow_encryption_passphrase"]) >= 32
        ),
        f"mlflow_gc_days is {days}: it must be 0, which collects nothing, or more.": int(days) >= 0,
        f"mlflow_version is {version}, and mlflow_requirements lock another: change both.": (
            f"mlflow=={version}" in settings["mlflow_requirements"]
        ),
    }
    return target_problems(settings["mlflow_webhook_targets"]) + [said for said, right in checks.items() if not right]


def mlflow_version(found: Mapping[str, str]) -> str:
    """Return MLflow's version from the name of its environment, VERSION-DIGEST; empty if none is installed."""
    return found.get("environment", "").partition("-")[0]


def mlflow_upgrade_problem(
    found: Mapping[str, str], host: str, wanted: Mapping[str, str], reserve_mb: int, error: str
) -> str:
    """Return the error message that refuses an upgrade of MLflow; empty if it is allowed.

    found: the output of files/installed. wanted: this checkout's version and collation. reserve_mb: the disk space in
    MB that a dump must leave free. error: the last line of the database client's error.
    """
    version, free = mlflow_version(found), int(found.get("free", 0))
    if not version:
        return f"{host} has no installation of Trackbox, so there is nothing to upgrade: run site.yml."
    if "size" not in found:
        return f"The database of {host} does not answer, and nothing was changed: {error}"
    if LooseVersion(version) > LooseVersion(wanted["version"]):
        return (
            f"{host} has MLflow {version}, and this checkout pins {wanted['version']}: a downgrade of its database is "
            "not possible, and nothing was changed. Use the newer Trackbox, or restore a backup that this one made."
        )
    converted = found.get("collation") != wanted["collation"]
    need = int(float(found["size"]) * (DUMP_SHARE + CONVERSION_SHARE * converted)) // 10**6 + reserve_mb
    if (version != wanted["version"] or converted) and free < need * 10**6:
        return (
            f"{host} has {free // 10**6} MB free under /var/lib, and the dump of MLflow's database may take {need} MB: "
            "make room or give it a larger disk; nothing was changed."
        )
    return ""


def mlflow_pending(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Return a list with a line `OLD -> NEW` if an upgrade is pending or was interrupted; otherwise an empty list.

    found: the output of files/installed. wanted: this checkout's environment, version, revision and collation.
    """
    same = all(found.get(part) == wanted[part] for part in ("environment", "revision", "collation"))
    if same and "unfinished" not in found:
        return []
    collation, revision = found.get("collation", ""), found.get("revision", "none")
    converted = f", collation {collation} -> {wanted['collation']}" if collation != wanted["collation"] else ""
    now = f"MLflow {mlflow_version(found)} (schema {revision})"
    return [f"{now} -> {wanted['version']} (schema {wanted['revision']}){converted}"]


class FilterModule:
    """Registers the filters of this file with Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return a mapping from the name of each filter to its function."""
        return {
            "mlflow_pending": mlflow_pending,
            "mlflow_problems": mlflow_problems,
            "mlflow_upgrade_problem": mlflow_upgrade_problem,
            "private_networks": private_networks,
        }
