"""The promises (checks of verify.yml) about the object store: its binary, users, policies, buckets and data."""

from __future__ import annotations

import glob
import json
import stat
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from promises import Facts, promise
from tools import family, sha256

# Policies that MinIO creates itself.
BUILT_IN = {"consoleAdmin", "diagnostics", "readonly", "readwrite", "writeonly"}


@cache
def clients(endpoint: str, region: str, user: str) -> tuple[Any, Any]:
    """Return a client of the S3 API and one of the administration API, as the root user."""
    # Put the SDK's packages before Debian's in the search path, because certbot installs Debian's versions of many
    # of them.
    sys.path[:0] = glob.glob("/opt/trackbox/minio/sdk/lib/python3*/site-packages")
    import urllib3
    from minio import Minio, MinioAdmin
    from minio.credentials import StaticProvider

    password = Path("/etc/trackbox/minio/root_password").read_text().strip()
    http = urllib3.PoolManager(timeout=urllib3.Timeout(10), retries=urllib3.Retry(0))
    provider = StaticProvider(user, password)
    s3 = Minio(endpoint=endpoint, credentials=provider, region=region, secure=False, http_client=http)
    return s3, MinioAdmin(endpoint=endpoint, credentials=provider, secure=False, http_client=http)


def store(its: Facts) -> tuple[Any, Any]:
    """Return the S3 client and the administration client of this machine's MinIO."""
    return clients(its["addresses"][0], its["region"], its["root_user"])


def canonical(document: Any) -> Any:
    """Return a policy with sorted lists, so that policies can be compared."""
    if isinstance(document, dict):
        return {key: canonical(value) for key, value in document.items()}
    if isinstance(document, list):
        return sorted((canonical(value) for value in document), key=json.dumps)
    return document


@promise("minio")
def minio_binary(its: Facts) -> Iterator[str]:
    """MinIO runs the binary whose SHA-256 is pinned."""
    [main, *_] = family(its["unit"])
    path = str(Path(f"/proc/{main}/exe").readlink())
    if not path.startswith(its["folder"] + "/"):
        yield f"it runs {path}"
    if its["sha256"] and sha256(f"/proc/{main}/exe") != its["sha256"]:
        yield f"{path} is another"


@promise("minio")
def minio_users(its: Facts) -> Iterator[str]:
    """MinIO has exactly the configured users, each with its own policy, without groups or further keys."""
    _, admin = store(its)
    found = json.loads(admin.user_list())
    yield from (f"{name} has an account" for name in sorted(found.keys() - its["policies"].keys()))
    for name in sorted(its["policies"]):
        user = found.get(name, {})
        if (user.get("policyName"), user.get("status"), user.get("memberOf")) != (name, "enabled", None):
            yield f"{name} is {user.get('status', 'missing')} and has the policy {user.get('policyName')}"
    for name in (*found, its["root_user"]):
        keys = json.loads(admin.list_service_account(name)).get("accounts") or []
        yield from (f"{name} has the further key {key['accessKey']}" for key in keys)
    yield from (f"there is a group {name}" for name in json.loads(admin.group_list()) or [])


@promise("minio")
def minio_policies(its: Facts) -> Iterator[str]:
    """MinIO has exactly the policies of its users."""
    _, admin = store(its)
    found = json.loads(admin.policy_list())
    yield from (f"there is a policy {name}" for name in sorted(found.keys() - its["policies"].keys() - BUILT_IN))
    for name, wanted in its["policies"].items():
        if canonical(found.get(name)) != canonical(wanted):
            yield f"the policy {name} is {'another' if name in found else 'missing'}"


@promise("minio")
def minio_buckets(its: Facts) -> Iterator[str]:
    """MinIO has exactly the configured buckets, and none is public."""
    s3, _ = store(its)
    found = {bucket.name for bucket in s3.list_buckets()}
    # A service has a scratch bucket only while it works.
    known = its["buckets"].keys() | set(its["scratch_buckets"])
    yield from (f"there is a bucket {name}" for name in sorted(found - known))
    yield from (f"the bucket {name} is missing" for name in sorted(its["buckets"].keys() - found))
    for name in sorted(found & its["buckets"].keys()):
        if (s3.get_bucket_versioning(bucket_name=name).status == "Enabled") != its["buckets"][name]:
            yield f"{name} is {'not ' if its['buckets'][name] else ''}versioned"
    for name in sorted(found):
        try:
            s3.get_bucket_policy(bucket_name=name)
            yield f"{name} has a policy of its own"
        except Exception as error:
            if "NoSuchBucketPolicy" not in str(error):
                raise


@promise("minio")
def minio_root_its_own(its: Facts) -> Iterator[str]:
    """MinIO's root user has a name and a password of this installation, no default."""
    password = Path("/etc/trackbox/minio/root_password").read_text().strip()
    if "minioadmin" in (its["root_user"], password) or len(password) < 8:
        yield "they are everybody's"
    s3, _ = store(its)
    try:
        s3.list_buckets()
    except Exception as error:
        yield f"the server does not take those on the disk: {getattr(error, 'code', type(error).__name__)}"


@promise("minio")
def minio_data_private(its: Facts) -> Iterator[str]:
    """Only MinIO can read the objects on the disk."""
    found = Path(its["data"]).stat()
    if found.st_mode & 0o077 or Path(its["data"]).owner() != its["user"]:
        yield f"{its['data']} belongs to {Path(its['data']).owner()}, mode {stat.S_IMODE(found.st_mode):04o}"
