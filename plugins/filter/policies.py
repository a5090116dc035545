"""The filter `s3_policies`."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

MODULE = Path(__file__).parents[1] / "modules/minio_content.py"


def s3_policies(users: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the policy of each of `minio_users`, by name, as the module minio_content makes it."""
    policy = runpy.run_path(str(MODULE))["policy"]
    return {user["name"]: policy(user.get("read", []), user.get("write", [])) for user in users}


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"s3_policies": s3_policies}
