"""Print every object version in the bucket `datasets` as JSON; with an argument, create some objects first.

The test runs this script on the machine with the Python environment of MinIO's SDK. The script connects as MinIO's root
user.
"""

from __future__ import annotations

import io
import json
import sys

from minio.commonconfig import Tags
from trackbox_backup.settings import load
from trackbox_backup.store import Store

BUCKET = "datasets"
store = Store(load())
if sys.argv[1:]:
    tags = Tags.new_object_tags()
    tags["of"] = "two words + more"
    for n in range(3):
        text = b"text %d" % n
        store.sdk.put_object(
            bucket_name=BUCKET,
            object_name="a folder/ü+%.csv",
            data=io.BytesIO(text),
            length=len(text),
            content_type="text/csv",
            metadata={"colour": "blue"},
            tags=tags,
        )
    store.sdk.put_object(bucket_name=BUCKET, object_name="gone", data=io.BytesIO(b"gone"), length=4)
    store.sdk.remove_object(bucket_name=BUCKET, object_name="gone")
    parts = io.BytesIO(b"part" * 3_000_000)
    store.sdk.put_object(bucket_name=BUCKET, object_name="parts", data=parts, length=-1, part_size=5 << 20)
found = list(store.versions(BUCKET))
for version in found:
    if not version.deleted and (response := store.get(version)):
        response.read()
print(json.dumps([version.facts() for version in found]))
