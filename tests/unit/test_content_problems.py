"""Checks of buckets and users find settings that MinIO would refuse, without a request to MinIO."""

from typing import Any

import pytest
from minio_checks import content_problems

BUCKETS: list[dict[str, Any]] = [{"name": "mlflow"}, {"name": "datasets", "versioned": True}]
ADA: dict[str, Any] = {"name": "ada", "secret": "12345678", "read": ["datasets"], "write": ["mlflow"]}


def problems(
    buckets: list[dict[str, Any]] = BUCKETS, users: tuple[dict[str, Any], ...] = (ADA,), root: str = "x" * 8
) -> list[str]:
    """Return the problems of valid settings in which one setting was changed."""
    return content_problems(buckets, users, "root", root)


def test_good_settings_pass() -> None:
    assert problems() == []


@pytest.mark.parametrize("name", ["My_Bucket", "ab", "-abc", "a" * 64, "a/b"])
def test_a_name_that_s3_does_not_allow_is_refused(name: str) -> None:
    [problem] = problems(buckets=[*BUCKETS, {"name": name}])
    assert problem.startswith(f"minio_buckets: {name!r} cannot be a bucket's name: ")


def test_a_user_of_a_bucket_that_is_not_there_is_told_which() -> None:
    [problem] = problems(users=({**ADA, "write": ["mlfow"]},))
    assert problem == "minio_users: ada may use the bucket mlfow, which minio_buckets does not have: add it there."


@pytest.mark.parametrize("users", [({**ADA, "secret": "geheim"},), ()])
def test_a_short_secret_is_refused_and_not_quoted(users: tuple[dict[str, Any], ...]) -> None:
    [problem] = problems(users=users, root="x" * 8 if users else "geheim")
    assert problem.endswith("is too short: give it 8 characters or more.")
    assert "geheim" not in problem


def test_what_is_there_twice_is_refused() -> None:
    assert problems(buckets=[*BUCKETS, BUCKETS[0]]) == ["minio_buckets: mlflow is there twice: remove one of them."]
    assert problems(users=(ADA, ADA)) == ["minio_users: ada is there twice: remove one of them."]


@pytest.mark.parametrize("name", ["ad", "ada:x", "a=b", "ada lovelace"])
def test_a_user_name_that_cannot_be_an_access_key_is_refused(name: str) -> None:
    [problem] = problems(users=({**ADA, "name": name},))
    assert problem.startswith(f"minio_users: {name!r} cannot be a user's name: ")


def test_a_scratch_bucket_is_not_for_users() -> None:
    given = [*BUCKETS, {"name": "trackbox-proof"}]
    [problem] = content_problems(given, (ADA,), "root", "x" * 8, ["trackbox-proof"])
    assert (
        problem
        == "minio_buckets: trackbox-proof is the name of a scratch bucket, which a service empties: choose another."
    )
