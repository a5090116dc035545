"""Make S3 calls with an unmodified boto3, and print the results as JSON.

client_s3.py USER SECRET CALL...      a call: `list_objects_v2 Bucket=mlflow`
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

user, secret, *calls = sys.argv[1:]
settings = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=20)
client = boto3.client("s3", aws_access_key_id=user, aws_secret_access_key=secret, config=settings)
answers = []
for call in calls:
    name, *words = call.split()
    arguments: dict[str, object] = {word.split("=", 1)[0]: word.split("=", 1)[1] for word in words}
    if name == "put_bucket_versioning":
        arguments["VersioningConfiguration"] = {"Status": "Suspended"}
    try:
        answer = getattr(client, name)(**arguments)
        answers.append(answer.get("Status", "ok") if name == "get_bucket_versioning" else "ok")
    except ClientError as error:
        answers.append(error.response["Error"]["Code"])
print(json.dumps(answers))
