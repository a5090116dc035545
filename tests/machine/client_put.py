"""Put an object of random bytes with an unmodified boto3.

client_put.py USER SECRET BUCKET/KEY BYTES
"""

import os
import sys

import boto3

user, secret, name, size = sys.argv[1:]
bucket, key = name.split("/", 1)
client = boto3.client("s3", aws_access_key_id=user, aws_secret_access_key=secret)
client.put_object(Bucket=bucket, Key=key, Body=os.urandom(int(size)))
