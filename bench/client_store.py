"""Upload files to several stores alternately and download them again; print a JSON object with the seconds per round.

Standard input is a JSON object with these keys:

stores      maps a name to a store: url and, for TLS, ca (a certificate's text). An S3 store also has bucket, key,
            secret and optionally make, which creates the bucket. MLflow behind NGINX has user and password instead.
size        size of each file in bytes
count       number of files
threads     number of concurrent transfers
rounds      number of rounds

The output maps "NAME up" and "NAME down" to a list of seconds, one for each round.
"""

import base64
import http.client
import json
import os
import ssl
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

CHUNK = 1 << 20


class Door:
    """A client of MLflow's artifacts. Each request opens a connection, as MLflow's own client does for large files."""

    def __init__(self, store, _):
        """store: a value of `stores` in the JSON object on standard input."""
        self.host, self.trust = urlsplit(store["url"]).netloc, ssl.create_default_context(cadata=store["ca"])
        login = base64.b64encode(f"{store['user']}:{store['password']}".encode()).decode()
        self.headers = {"Authorization": f"Basic {login}"}

    def ask(self, method, name, body=None, size=0):
        """Send one request and read the whole response."""
        connection = http.client.HTTPSConnection(self.host, context=self.trust, timeout=300, blocksize=CHUNK)
        headers = self.headers | ({"Content-Length": str(size)} if body else {})
        connection.request(method, f"/api/2.0/mlflow-artifacts/artifacts/bench/{name}", body, headers)
        answer = connection.getresponse()
        while answer.read(CHUNK):
            pass
        connection.close()
        assert answer.status < 300, answer.status

    def up(self, name, path):
        """Upload a file."""
        with Path(path).open("rb") as file:
            self.ask("PUT", name, file, Path(path).stat().st_size)

    def down(self, name):
        """Download the file, and discard its content."""
        self.ask("GET", name)

    def remove(self, name):
        """Delete the file."""
        self.ask("DELETE", name)


class S3:
    """An S3 client that uses boto3, with boto3's default size for the parts of large files."""

    def __init__(self, store, folder):
        """store: a value of `stores` in the JSON object on standard input. folder: folder for the store's CA file."""
        self.bucket = store["bucket"]
        authority = folder / store["bucket"]
        authority.write_text(store.get("ca", ""))
        self.s3 = boto3.client(
            "s3",
            endpoint_url=store["url"],
            region_name="us-east-1",
            verify=str(authority),
            aws_access_key_id=store["key"],
            aws_secret_access_key=store["secret"],
            config=Config(max_pool_connections=20, retries={"max_attempts": 0}),
        )
        if store.get("make"):
            self.s3.create_bucket(Bucket=self.bucket)

    def up(self, name, path):
        """Upload a file."""
        self.s3.upload_file(path, self.bucket, f"bench/{name}")

    def down(self, name):
        """Download the file, and discard its content."""
        self.s3.download_file(self.bucket, f"bench/{name}", "/dev/null")

    def remove(self, name):
        """Delete the file. This frees its space, because the bucket has no versioning."""
        self.s3.delete_object(Bucket=self.bucket, Key=f"bench/{name}")


def timed(call, names, threads):
    """Call `call` with each name in a pool of threads; return the seconds until all calls have ended."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, names))
    return time.perf_counter() - began


def main():
    """Upload, download and delete the files in each store alternately; print the seconds."""
    s = json.load(sys.stdin)
    names = [f"{os.getpid()}-{number}" for number in range(s["count"])]
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as temporary:
        folder = Path(temporary)
        stores = {name: (S3 if "key" in store else Door)(store, folder) for name, store in s["stores"].items()}
        found = {f"{name} {way}": [] for name in stores for way in ("up", "down")}
        part, path = os.urandom(CHUNK), str(folder / "file")
        with Path(path).open("wb") as file:
            for start in range(0, s["size"], CHUNK):
                file.write(part[: s["size"] - start])
        for number in range(s["rounds"]):
            for name in list(stores)[:: 1 if number % 2 else -1]:
                store = stores[name]
                found[f"{name} up"].append(timed(partial(store.up, path=path), names, s["threads"]))
                found[f"{name} down"].append(timed(store.down, names, s["threads"]))
                timed(store.remove, names, s["threads"])
    print(json.dumps(found))


main()
