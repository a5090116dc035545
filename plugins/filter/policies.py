"""The filter `s3_policies`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

MODULE = Path(__file__).parents[1] / "modules/minio_content.py"


def s3_policies(users: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the policy of each of `minio_users`, by name, as the module minio_content makes it."""
    spec = importlib.util.spec_from_file_location("minio_content", MODULE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {user["name"]: module.policy(user.get("read", []), user.get("write", [])) for user in users}


class FilterModule:
    """The filters of this file, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"s3_policies": s3_policies}
