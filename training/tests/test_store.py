"""The bucket of data sets, on a real MinIO."""

import json
from pathlib import Path

import boto3
import pandas as pd
import pytest

from fraud.data.dataset import from_file, make_synthetic, resolve
from fraud.data.store import PREFIX, Store
from fraud.errors import DataError, ServiceError
from fraud.settings import Settings


def keys(settings: Settings) -> list[str]:
    client = boto3.session.Session().client("s3", endpoint_url=settings.s3_endpoint)
    return [
        item["Key"] for item in client.list_objects_v2(Bucket=settings.bucket).get("Contents", [])
    ]


def test_a_pushed_data_set_is_stored_once_and_loaded(store: Store, small_csv: Path) -> None:
    dataset = from_file(small_csv)
    assert store.push(dataset.frame, dataset.manifest)
    assert not store.push(dataset.frame, dataset.manifest)
    (manifest,) = store.manifests()
    assert manifest == dataset.manifest
    pd.testing.assert_frame_equal(store.load(manifest), dataset.frame)
    assert keys(store.settings) == [
        f"{PREFIX}{manifest.hash}/data.parquet", f"{PREFIX}{manifest.hash}/manifest.json"
    ]  # fmt: skip


def test_an_interrupted_push_leaves_nothing(
    store: Store, small_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, put = from_file(small_csv), store._put

    def interrupted(key: str, body: bytes) -> None:
        if key.endswith("manifest.json"):
            raise KeyboardInterrupt
        put(key, body)

    monkeypatch.setattr(store, "_put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.push(dataset.frame, dataset.manifest)
    assert keys(store.settings) == []


def test_a_data_set_without_manifest_is_ignored(store: Store, small_csv: Path) -> None:
    dataset = from_file(small_csv)
    store._put(f"{PREFIX}{dataset.manifest.hash}/data.parquet", b"half")
    assert store.manifests() == []
    assert store.push(dataset.frame, dataset.manifest)
    assert len(store.load(store.find(dataset.manifest.hash[:4]))) == 5000


def test_a_data_set_that_was_changed_is_refused(store: Store, small_csv: Path) -> None:
    dataset = from_file(small_csv)
    store.push(dataset.frame, dataset.manifest)
    changed = dataset.frame.assign(Amount=1.0)
    store._put(f"{PREFIX}{dataset.manifest.hash}/data.parquet", changed.to_parquet())
    with pytest.raises(DataError, match="has changed since it was pushed"):
        store.load(dataset.manifest)


def test_the_default_is_the_latest_real_set_and_else_the_synthetic(
    store: Store, small_csv: Path
) -> None:
    with pytest.raises(DataError, match="has only synthetic data sets"):
        resolve("latest", store)
    made = resolve(None, store)
    assert made.manifest.kind == "synthetic"
    assert "synthetic" in made.notes[0]
    assert [item.hash for item in store.manifests()] == [make_synthetic().manifest.hash]
    pushed = resolve(str(small_csv), store)
    assert resolve(None, store).manifest == resolve("latest", store).manifest == pushed.manifest
    assert resolve(pushed.manifest.hash[:8], store).manifest == pushed.manifest
    with pytest.raises(DataError, match="no data set with a hash beginning 00000000"):
        resolve("00000000", store)


def test_a_manifest_is_json_that_describes_the_data_set(store: Store, small_csv: Path) -> None:
    dataset = resolve(str(small_csv), store)
    body = json.loads(store._get(f"{PREFIX}{dataset.manifest.hash}/manifest.json"))
    assert (body["rows"], body["frauds"], len(body["columns"])) == (5000, 300, 31)
    assert body["source"] == "small.csv"
    assert len(body["source_sha256"]) == 64


def test_wrong_keys_a_missing_bucket_and_no_server_are_one_sentence(
    store: Store, bare: pytest.MonkeyPatch
) -> None:
    settings = store.settings
    bare.setenv("FRAUD_BUCKET", "elsewhere")
    with pytest.raises(ServiceError, match=r"NoSuchBucket.*FRAUD_BUCKET"):
        Store(Settings.from_env(environment())).manifests()
    bare.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ServiceError, match="Check AWS_ACCESS_KEY_ID"):
        Store(settings).manifests()
    bare.delenv("AWS_ACCESS_KEY_ID")
    bare.delenv("AWS_SECRET_ACCESS_KEY")
    bare.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ServiceError, match="AWS_ACCESS_KEY_ID is not set"):
        Store(settings).manifests()
    bare.setenv("AWS_ACCESS_KEY_ID", "any")
    bare.setenv("AWS_SECRET_ACCESS_KEY", "any")
    bare.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="was not reached"):
        Store(Settings.from_env(environment())).manifests()


def environment() -> dict[str, str]:
    import os

    return dict(os.environ)
