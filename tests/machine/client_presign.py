"""Presign an object's URL with an unmodified boto3, once for each lifetime in seconds; print the URLs as JSON.

client_presign.py USER SECRET BUCKET/KEY SECONDS...
"""

import json
import sys

import boto3
from botocore.config import Config

user, secret, name, *seconds = sys.argv[1:]
bucket, key = name.split("/", 1)
settings = Config(signature_version="s3v4", s3={"addressing_style": "path"})
client = boto3.client("s3", aws_access_key_id=user, aws_secret_access_key=secret, config=settings)
found = [
    client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key}, ExpiresIn=int(each)) for each in seconds
]
print(json.dumps(found))
