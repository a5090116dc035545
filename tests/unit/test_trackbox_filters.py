"""The filters with which roles check variables and ports before they change anything."""

from pathlib import Path
from typing import Any

import pytest
from trackbox import port_problems, variable_problems

ROLES = str(Path(__file__).parents[2] / "roles")
APACHE = {"port": 80, "name": "apache2", "pid": 7, "user": "root"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("trackbox_hots", "trackbox_host"),
        ("mysql_flavour", "mysql_flavor"),
        ("minio_bucket", "minio_buckets"),
        ("mlflow_worker", "mlflow_workers"),
        ("nginx_htp_port", "nginx_http_port"),
        ("training_user", "training_users"),
        ("local_vm_adress", "local_vm_address"),
    ],
)
def test_a_misspelt_variable_is_told_which_one_was_meant(name: str, meant: str) -> None:
    assert variable_problems({name: "x"}, ROLES) == [f"{name} is not a variable of Trackbox: did you mean {meant}?"]


def test_a_variable_that_resembles_none_is_told_where_the_names_stand() -> None:
    [problem] = variable_problems({"nginx_jjjjjjjjjjjjjjjjjjjjjjjj": "x"}, ROLES)
    assert problem.startswith("nginx_jjjjjjjjjjjjjjjjjjjjjjjj is not a variable of Trackbox")
    assert "roles/*/defaults/main.yml" in problem


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mlflow_workers", "two", "mlflow_workers is 'two', and must be a whole number"),
        ("mlflow_workers", 2.5, "mlflow_workers is '2.5', and must be a whole number"),
        ("mlflow_workers", True, "mlflow_workers is 'True', and must be a whole number"),
        ("mlflow_workers", None, "mlflow_workers is 'None', and must be a whole number"),
        ("mysql_flavor", "postgres", "mysql_flavor is 'postgres', and must be one of mysql, mariadb"),
        ("mysql_performance_schema", "perhaps", "mysql_performance_schema is 'perhaps', and must be true or false"),
        ("mysql_settings", "a=b", "mysql_settings is 'a=b', and must be a mapping"),
        ("training_users", "ada", "training_users is 'ada', and must be a list"),
        ("trackbox_host", ["a"], "trackbox_host is \"['a']\", and must be text"),
        ("trackbox_host", None, "trackbox_host is 'None', and must be text"),
        ("mysql_databases", [["a"]], "mysql_databases[0] is \"['a']\", and must be text"),
        ("minio_buckets", [{"name": "a", "versioned": "x"}], "minio_buckets[0].versioned is 'x', and must be true or"),
        ("minio_buckets", [{"versioned": True}], "minio_buckets[0] lacks name"),
        ("mysql_repository", {"uri": "x"}, "mysql_repository has no part uri: did you mean uris?"),
    ],
)
def test_a_value_that_does_not_fit_gets_a_sentence(name: str, value: Any, said: str) -> None:
    [problem] = variable_problems({name: value}, ROLES)
    assert problem.startswith(said)


def test_the_remedy_is_the_comment_in_the_defaults_of_the_role_that_has_the_variable() -> None:
    [problem] = variable_problems({"trackbox_host": []}, ROLES)
    assert problem.endswith(": the comment above it in roles/wiring/defaults/main.yml says what fits.")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mlflow_encryption_passphrase", ["geheim"]),
        ("trackbox_admin_password", {"a": "geheim"}),
        ("nginx_users", "geheim"),
        ("nginx_users", ["geheim"]),
        ("nginx_users", [{"name": "ada", "password": ["geheim"]}]),
        ("minio_users", {"geheim": "geheim"}),
        ("minio_users", [{"name": "ada", "secret": {"geheim": 1}}]),
    ],
)
def test_a_secret_is_never_quoted(name: str, value: Any) -> None:
    [problem] = variable_problems({name: value}, ROLES)
    assert name in problem
    assert "geheim" not in problem


@pytest.mark.parametrize(
    "variables",
    [
        {"mlflow_workers": "3", "mysql_performance_schema": "false", "trackbox_https_port": "8443"},
        {"mysql_repository": {}, "mysql_settings": {"anything": 1}, "trackbox_host": 12},
        {"nginx_users": [{"name": "ada", "password": "x" * 12}], "minio_checksums": {"amd64": "0"}},
    ],
)
def test_what_fits_is_taken_also_as_text_from_the_command_line(variables: dict[str, Any]) -> None:
    assert variable_problems(variables, ROLES) == []


def test_a_port_that_somebody_else_holds_is_named_with_its_holder() -> None:
    assert port_problems([APACHE], {"nginx_http_port": 80}, "nginx") == [
        "nginx_http_port: port 80 is held by apache2 (process 7): stop that, or choose another port."
    ]


def test_a_minio_that_somebody_started_by_hand_is_not_the_service() -> None:
    by_hand = {"port": 9000, "name": "minio", "pid": 7, "user": "root"}
    assert port_problems([by_hand], {"trackbox_minio_address": "127.0.0.1:9000"}, "minio") == [
        "trackbox_minio_address: port 9000 is held by minio (process 7): stop that, or choose another port."
    ]
    assert port_problems([by_hand | {"user": "minio"}], {"trackbox_minio_address": "127.0.0.1:9000"}, "minio") == []


@pytest.mark.parametrize("own", [{"name": "nginx", "user": "root"}, {"name": "python3", "user": "nginx"}])
def test_a_port_that_the_service_holds_itself_is_free(own: dict[str, str]) -> None:
    assert port_problems([APACHE | own], {"nginx_http_port": "80", "trackbox_https_port": 443}, "nginx") == []


@pytest.mark.parametrize("value", ["0", "65536", "http", "127.0.0.1", ":5000", "127.0.0.1:", "", -80])
def test_a_port_that_is_none_is_refused(value: Any) -> None:
    [problem] = port_problems([APACHE], {"trackbox_mlflow_address": value}, "mlflow")
    assert problem == f"trackbox_mlflow_address is {value}: its port must be a number from 1 to 65535."


def test_two_services_cannot_have_the_same_port() -> None:
    [problem] = port_problems([], {"nginx_http_port": 80, "trackbox_https_port": "80"}, "nginx")
    assert problem == "trackbox_https_port is 80, the port of nginx_http_port too: give each a port of its own."
