"""Checks of the settings of training and of the local VM, the disk reserve, and helpers of several roles' filters."""

from pathlib import Path
from typing import Any

import pytest
from controller_checks import local_vm_problems
from inventory_checks import reserve_problems
from trackbox import fields, formatted, least_problems
from training_checks import monitor_runs, training_problems

VM = {"local_vm_name": "trackbox", "local_vm_address": "10.83.0.2", "local_vm_memory": "2G"}


def test_a_package_is_a_wheel_or_a_folder_with_a_pyproject(tmp_path: Path) -> None:
    wheel, project = tmp_path / "x.whl", tmp_path / "x"
    wheel.touch()
    for given, count in ((wheel, 0), (project, 1)):
        assert len(training_problems({"training_package": str(given), "training_command": "fraud"})) == count
    project.mkdir()
    (project / "pyproject.toml").touch()
    assert training_problems({"training_package": str(project), "training_command": "fraud-2.x"}) == []


@pytest.mark.parametrize("command", ["", "-x", "a b", "a/b", "../x"])
def test_a_command_that_is_no_file_name_is_refused(command: str) -> None:
    [problem] = training_problems({"training_package": __file__, "training_command": command})
    assert problem.startswith(f"training_command is {command}: it must be a name of letters, digits and . _ -")


def test_the_report_runs_once_for_each_served_model() -> None:
    models = [{"name": "fraud"}, {"name": "my model", "alias": "live"}]
    assert monitor_runs(models, ["monitor", "--days", "7"]) == [
        ["monitor", "--days", "7", "--model", "fraud"],
        ["monitor", "--days", "7", "--model", "my model"],
    ]


@pytest.mark.parametrize("address", ["10.83.0.2", "10.83.255.254"])
@pytest.mark.parametrize("memory", ["", "2G", "900M"])
def test_a_local_vm_that_can_be_made_passes(address: str, memory: str) -> None:
    assert local_vm_problems({**VM, "local_vm_address": address, "local_vm_memory": memory}, "Linux", "root") == []


@pytest.mark.parametrize(
    ("part", "value"),
    [("name", value) for value in ("", "A", "-a", "a-", "a" * 64, "../etc")]
    + [("address", value) for value in ("", "10.83.0.1", "10.83.256.2", "10.84.0.2", "10.83.00.2", "10.83.0.2\n")]
    + [("memory", value) for value in ("2", "0G", "2 GB", "-1M")],
)
def test_an_impossible_local_vm_is_refused(part: str, value: str) -> None:
    [problem] = local_vm_problems({**VM, f"local_vm_{part}": value}, "Linux", "root")
    assert problem.startswith(f"local_vm_{part} is {value}: ")


@pytest.mark.parametrize(("system", "user"), [("Darwin", "root"), ("Linux", "ada")])
def test_a_controller_without_root_on_linux_is_refused(system: str, user: str) -> None:
    [problem] = local_vm_problems(VM, system, user)
    assert problem.startswith(f"The local VM needs root on Linux, and this is {user} on {system}: ")


@pytest.mark.parametrize("reserve", ["5%", "0.5%", "99%", "10G", "1000", 1000])
def test_a_share_or_a_size_is_a_reserve(reserve: Any) -> None:
    assert reserve_problems(reserve) == []


@pytest.mark.parametrize("reserve", ["100%", "5 %", "-1G", "10GB", ""])
def test_anything_else_is_no_reserve(reserve: str) -> None:
    [problem] = reserve_problems(reserve)
    assert problem.startswith(f"trackbox_disk_reserve is {reserve}: ")


def test_a_number_that_is_too_small_is_refused() -> None:
    assert [least_problems(value, "x", 1) for value in (1, "2")] == [[], []]
    assert least_problems("0", "x", 1) == ["x is 0: it must be 1 or more."]


def test_lines_of_a_program_are_read_by_name() -> None:
    assert fields("size\t12\nnoise\nversion\tminio version\tx\n") == {"size": "12", "version": "minio version\tx"}


def test_names_are_put_into_patterns() -> None:
    assert formatted(["a", "b"], "{}.j2", "x-{}") == ["a.j2", "b.j2", "x-a", "x-b"]
