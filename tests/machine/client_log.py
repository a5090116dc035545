"""Print the ids of a model's logged requests, each with its number of rows, as JSON.

client_log.py MODEL SINCE      SINCE: a Unix time; older files are ignored
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from datetime import UTC, datetime

import boto3
import pyarrow.parquet as pq

model, since = sys.argv[1], datetime.fromtimestamp(float(sys.argv[2]), UTC)
store = boto3.client("s3")
found: Counter[str] = Counter()
for page in store.get_paginator("list_objects_v2").paginate(Bucket="inference", Prefix=f"{model}/"):
    for item in page.get("Contents", []):
        if item["LastModified"] >= since.replace(microsecond=0):
            data = store.get_object(Bucket="inference", Key=item["Key"])["Body"].read()
            found.update(pq.read_table(io.BytesIO(data), columns=["request_id"])["request_id"].to_pylist())
print(json.dumps(found))
