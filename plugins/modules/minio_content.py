#!/usr/bin/python
"""Ansible module that creates MinIO's buckets, users and policies."""

from __future__ import annotations

DOCUMENTATION = """
module: minio_content
short_description: Create MinIO's buckets, users and policies
description:
  - Creates what is missing and mends what differs.
  - Users that are not named are removed, with their policies. Other buckets stay.
options:
  endpoint: {description: Host and port of the S3 API., type: str, required: true}
  region: {description: The server's region., type: str, required: true}
  root_user: {description: The root user's name., type: str, required: true}
  root_password: {description: The root user's password., type: str, required: true}
  buckets:
    description: The buckets that shall exist.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: The bucket's name., type: str, required: true}
      versioned: {description: Whether MinIO keeps old versions of its objects., type: bool, default: false}
      days: {description: Days that objects stay; 0 is for ever., type: int, default: 0}
  old_versions_days: {description: Days that versioned buckets keep old versions; 0 is for ever., type: int, default: 0}
  wait: {description: Seconds that the server may take to answer after its start., type: int, default: 30}
  users:
    description: The users that shall exist, each with a policy of its own.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: The user's name; S3 calls it the access key., type: str, required: true}
      secret: {description: The user's secret key., type: str, required: true}
      read: {description: Buckets that the user may read., type: list, elements: str, default: []}
      write: {description: Buckets that the user may read and write., type: list, elements: str, default: []}
  keep: {description: Names of further users that stay as they are., type: list, elements: str, default: []}
author: [Trackbox (!UNKNOWN)]
"""

EXAMPLES = """
- trackbox.workbench.minio_content:
    endpoint: 127.0.0.1:9000
    region: us-east-1
    root_user: root
    root_password: "{{ root_password }}"
    buckets: [{name: models, versioned: true}]
    users: [{name: vera, secret: "{{ veras_secret }}", read: [models]}]
"""

import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    import urllib3
    from minio import Minio, MinioAdmin
    from minio.commonconfig import Filter
    from minio.credentials import StaticProvider
    from minio.error import MinioAdminException, S3Error
    from minio.lifecycleconfig import Expiration, LifecycleConfig, NoncurrentVersionExpiration, Rule
    from minio.versioningconfig import ENABLED, SUSPENDED, VersioningConfig

    MISSING = ""
except ImportError as error:
    MISSING = str(error)

# The names of Trackbox's rules in a bucket's lifecycle.
OLD_VERSIONS = "trackbox-old-versions"
OLD_OBJECTS = "trackbox-old-objects"

READ_BUCKET = ["s3:GetBucketLocation", "s3:ListBucket"]
READ_OBJECTS = ["s3:GetObject", "s3:GetObjectVersion"]
WRITE_BUCKET = [*READ_BUCKET, "s3:ListBucketMultipartUploads"]
WRITE_OBJECTS = [
    "s3:AbortMultipartUpload",
    "s3:DeleteObject",
    "s3:GetObject",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
]


def policy(read: list[str], write: list[str]) -> dict[str, Any]:
    """Return the policy that allows only reading the buckets `read`, and reading and writing the buckets `write`."""
    statements = []
    for buckets, on_bucket, on_objects in ((read, READ_BUCKET, READ_OBJECTS), (write, WRITE_BUCKET, WRITE_OBJECTS)):
        for actions, suffix in ((on_bucket, ""), (on_objects, "/*")):
            resources = [f"arn:aws:s3:::{bucket}{suffix}" for bucket in buckets]
            if resources:
                statements.append({"Effect": "Allow", "Action": actions, "Resource": resources})
    return {"Version": "2012-10-17", "Statement": statements}


def canonical(document: Any) -> Any:
    """Return a policy with sorted lists, because MinIO returns actions in an order of its own."""
    if isinstance(document, dict):
        return {key: canonical(value) for key, value in document.items()}
    if isinstance(document, list):
        return sorted((canonical(value) for value in document), key=json.dumps)
    return document


class Store:
    """A MinIO server, and the list of the changes that this module makes to it."""

    def __init__(self, module: AnsibleModule) -> None:
        """Make the clients of the S3 API and of the admin API, with the key of MinIO's root user."""
        p = module.params
        self.module, self.changes = module, list[str]()
        # Allow two retries only, because by default the SDK retries for minutes.
        self.http = urllib3.PoolManager(timeout=urllib3.Timeout(10), retries=urllib3.Retry(2, backoff_factor=0.5))
        self.s3 = self.client(p["root_user"], p["root_password"])
        root = StaticProvider(p["root_user"], p["root_password"])
        self.admin = MinioAdmin(endpoint=p["endpoint"], credentials=root, secure=False, http_client=self.http)

    def client(self, user: str, secret: str) -> Minio:
        """Return an S3 client with this user's key."""
        p = self.module.params
        return Minio(
            endpoint=p["endpoint"],
            access_key=user,
            secret_key=secret,
            region=p["region"],
            secure=False,
            http_client=self.http,
        )

    def change(self, what: str) -> bool:
        """Record a change; return whether the caller may make it. In check mode, the caller may not."""
        self.changes.append(what)
        return not self.module.check_mode

    def wait(self, seconds: float) -> None:
        """Wait until the server responds without an error, because right after its start it is not initialized."""
        end = time.monotonic() + seconds
        while True:
            try:
                self.s3.list_buckets()
                return
            except (S3Error, urllib3.exceptions.HTTPError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def bucket(self, name: str, versioned: bool) -> None:
        """Make the bucket, and switch its versioning on or off."""
        exists = self.s3.bucket_exists(bucket_name=name)
        if not exists and self.change(f"create the bucket {name}"):
            self.s3.make_bucket(bucket_name=name)
            exists = True
        status = self.s3.get_bucket_versioning(bucket_name=name).status if exists else "Off"
        if versioned and status != ENABLED and self.change(f"version the bucket {name}"):
            self.s3.set_bucket_versioning(bucket_name=name, config=VersioningConfig(ENABLED))
        if not versioned and status == ENABLED and self.change(f"stop versioning the bucket {name}"):
            self.s3.set_bucket_versioning(bucket_name=name, config=VersioningConfig(SUSPENDED))

    def old_versions(self, name: str, days: int) -> None:
        """Set the bucket's lifecycle rule that deletes old versions after `days` (0: never). Other rules stay."""
        rules = self.rules(name)
        mine = rules.pop(OLD_VERSIONS, None)
        has = (mine.noncurrent_version_expiration.noncurrent_days if mine else 0) or 0
        if has == days or not self.change(f"keep old versions in {name} for {f'{days} days' if days else 'ever'}"):
            return
        if days:
            rules[OLD_VERSIONS] = Rule(
                status="Enabled",
                rule_filter=Filter(prefix=""),
                rule_id=OLD_VERSIONS,
                # Also remove an object's delete marker when no version of the object is left.
                expiration=Expiration(expired_object_delete_marker=True),
                noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=days),
            )
        self.set_rules(name, rules)

    def old_objects(self, name: str, days: int) -> None:
        """Set the bucket's lifecycle rule that deletes objects `days` after upload (0: never). Other rules stay."""
        rules = self.rules(name)
        mine = rules.pop(OLD_OBJECTS, None)
        has = (mine.expiration.days if mine else 0) or 0
        if has == days or not self.change(f"keep objects in {name} for {f'{days} days' if days else 'ever'}"):
            return
        if days:
            rules[OLD_OBJECTS] = Rule(
                status="Enabled",
                rule_filter=Filter(prefix=""),
                rule_id=OLD_OBJECTS,
                expiration=Expiration(days=days),
            )
        self.set_rules(name, rules)

    def rules(self, name: str) -> dict[str, Any]:
        """Return the rules of a bucket's lifecycle, by their identifiers."""
        config = self.s3.get_bucket_lifecycle(bucket_name=name) if self.s3.bucket_exists(bucket_name=name) else None
        return {rule.rule_id: rule for rule in config.rules} if config else {}

    def set_rules(self, name: str, rules: dict[str, Any]) -> None:
        """Set the rules of a bucket's lifecycle."""
        if rules:
            self.s3.set_bucket_lifecycle(bucket_name=name, config=LifecycleConfig(list(rules.values())))
        else:
            self.s3.delete_bucket_lifecycle(bucket_name=name)

    def policy(self, name: str, wanted: dict[str, Any]) -> None:
        """Write the policy, if the server's policy differs or is missing."""
        try:
            info = json.loads(self.admin.policy_info(policy_name=name))
        except MinioAdminException as error:
            if "NoSuchPolicy" not in str(error):
                raise
            info = {}
        if canonical(info.get("Policy", info)) != canonical(wanted) and self.change(f"write the policy {name}"):
            self.admin.policy_add(policy_name=name, policy=wanted)

    def user(self, name: str, secret: str) -> None:
        """Create the user, or correct its secret key. Attach the policy that has the user's name."""
        try:
            info = json.loads(self.admin.user_info(access_key=name))
        except MinioAdminException as error:
            if "NoSuchUser" not in str(error):
                raise
            info = {}
        what = "set the key of" if info else "create"
        if not (info and self.knows(name, secret)) and self.change(f"{what} the user {name}"):
            self.admin.user_add(access_key=name, secret_key=secret)
        if info.get("policyName") != name and self.change(f"attach the policy {name}"):
            self.admin.policy_set(policy_name=name, user=name)
        if info.get("status") == "disabled" and self.change(f"enable the user {name}"):
            self.admin.user_enable(access_key=name)
        for group in info.get("memberOf") or []:
            if self.change(f"take the user {name} out of the group {group}"):
                self.admin.group_remove(group_name=group, members=[name])

    def others(self, names: list[str]) -> None:
        """Remove all users except `names`, together with their access keys and the policy that has the user's name."""
        for name in json.loads(self.admin.user_list()):
            if name not in names and self.change(f"remove the user {name}"):
                self.admin.user_remove(access_key=name)
                if name in json.loads(self.admin.policy_list()):
                    self.admin.policy_remove(policy_name=name)

    def knows(self, name: str, secret: str) -> bool:
        """Return whether the user has this secret key. The server returns no keys, so try a request with this one."""
        try:
            self.client(name, secret).list_buckets()
        except S3Error as error:
            if error.code in ("SignatureDoesNotMatch", "InvalidAccessKeyId"):
                return False
            if error.code != "AccessDenied":
                raise
        return True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "endpoint": {"type": "str", "required": True},
            "region": {"type": "str", "required": True},
            "root_user": {"type": "str", "required": True},
            "root_password": {"type": "str", "required": True, "no_log": True},
            "wait": {"type": "int", "default": 30},
            "old_versions_days": {"type": "int", "default": 0},
            "keep": {"type": "list", "elements": "str", "default": []},
            "buckets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "versioned": {"type": "bool", "default": False},
                    "days": {"type": "int", "default": 0},
                },
            },
            "users": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "secret": {"type": "str", "required": True, "no_log": True},
                    "read": {"type": "list", "elements": "str", "default": []},
                    "write": {"type": "list", "elements": "str", "default": []},
                },
            },
        },
        supports_check_mode=True,
    )
    if MISSING:
        module.fail_json(msg=f"The Python of this task has no MinIO SDK ({MISSING}).")
    try:
        store = Store(module)
        store.wait(module.params["wait"])
        for bucket in module.params["buckets"]:
            store.bucket(bucket["name"], bucket["versioned"])
            if bucket["versioned"]:
                store.old_versions(bucket["name"], module.params["old_versions_days"])
            store.old_objects(bucket["name"], bucket["days"])
        for user in module.params["users"]:
            store.policy(user["name"], policy(user["read"], user["write"]))
            store.user(user["name"], user["secret"])
        store.others([user["name"] for user in module.params["users"]] + module.params["keep"])
    except (S3Error, MinioAdminException, urllib3.exceptions.HTTPError) as error:
        module.fail_json(msg=f"MinIO at {module.params['endpoint']} refused: {error}")
    diff = {"before": "", "after": "".join(f"{line}\n" for line in store.changes)}
    module.exit_json(changed=bool(store.changes), changes=store.changes, diff=diff)


if __name__ == "__main__":
    main()
