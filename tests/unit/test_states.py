"""The state of a machine: the holder of its lock, traces of interrupted playbooks, and the folder of the objects."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from states import (
    left_problem,
    lock_is_stale,
    lock_owner,
    lock_problem,
    machine_states,
    objects_problem,
    rotation_problem,
)

SCRIPT = Path(__file__).parents[2] / "roles/lifecycle/files/states"
NODE = platform.node()


def description(process: int, machine: str = NODE, playbook: str = "upgrade.yml") -> str:
    return f"{playbook} of {machine} process {process}"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[int]:
    """Run a program called ansible-playbook; yield its process id."""
    program = tmp_path / "ansible-playbook"
    program.write_text("input()")
    with subprocess.Popen([sys.executable, str(program), "site.yml"], stdin=subprocess.PIPE) as other:
        yield other.pid
        other.kill()


def ended() -> int:
    """Return the process id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    return other.pid


def states(**units: str) -> dict[str, Any]:
    """Return the state of a machine on which units run. units: their descriptions, by `lock`, `restore`, `backup`."""
    names = {"lock": "trackbox-lock", "restore": "trackbox-restore", "backup": "trackbox-backup"}
    names |= {"proof": "trackbox-backup-proof"}
    blocks = [
        f"Id={names[name]}.service\nDescription={text}\nActiveState=active\nInactiveExitTimestamp=Mon 02:30"
        for name, text in units.items()
    ]
    return machine_states("lock:held\ninstalled:yes\n" + "\n\n".join(blocks) + "\n")


def test_the_owner_names_the_purpose_and_the_controller() -> None:
    words = lock_owner("upgrade.yml").split()
    assert words[:4] == ["upgrade.yml", "of", platform.node(), "process"]
    assert words[4].isdecimal()


def test_a_lock_of_this_very_run_is_its_own() -> None:
    assert lock_is_stale(lock_owner("upgrade.yml"))


def test_a_lock_of_a_run_that_goes_on_is_not_stale(running: int) -> None:
    assert not lock_is_stale(description(running))


def test_a_lock_of_a_run_that_ended_is_stale() -> None:
    assert lock_is_stale(description(ended()))


def test_a_process_that_only_has_ansible_in_its_arguments_is_no_playbook() -> None:
    command = [sys.executable, "-c", "input()", "/home/ada/ansible/ansible-playbook"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        assert lock_is_stale(description(other.pid))
        other.kill()


@pytest.mark.parametrize("said", ["", "trackbox-lock.service", "backup of trackbox", description(1, "elsewhere")])
def test_what_this_controller_cannot_know_is_not_stale(said: str) -> None:
    assert not lock_is_stale(said)


def test_a_playbook_that_runs_refuses_others_and_says_since_when(running: int) -> None:
    said = lock_problem(states(lock=description(running)), "vm", "backup.yml")
    assert said == (
        f"vm is being worked on, and backup.yml has changed nothing: upgrade.yml of {NODE} process {running} holds the "
        "lock, since Mon 02:30. Wait for its end; if it has ended without giving the lock back, type there: systemctl "
        "stop trackbox-lock."
    )


def test_a_lock_whose_playbook_has_ended_refuses_nobody() -> None:
    assert lock_problem(states(lock=description(ended())), "vm", "backup.yml") == ""


def test_the_work_of_a_playbook_that_has_ended_refuses_others_and_names_the_way_out() -> None:
    text = description(ended(), playbook="restore.yml")
    said = lock_problem(states(lock=text, restore=text), "vm", "site.yml")
    assert said == (
        f"vm is being worked on, and site.yml has changed nothing: {text} has ended, and its unit trackbox-restore "
        "still runs there, since Mon 02:30. Wait for its end, or type there: systemctl stop trackbox-restore. Then "
        "type restore.yml again."
    )


def test_a_backup_by_the_timer_refuses_those_that_change_something() -> None:
    backup = states(backup="Back up database, objects and secrets")
    said = lock_problem(backup, "vm", "site.yml")
    assert "a backup (trackbox-backup) holds the lock, since Mon 02:30." in said
    assert said.endswith("or type there: systemctl stop trackbox-backup.")
    assert lock_problem(backup, "vm", "train.yml", changes_nothing=True) == ""
    proof = states(proof="Test that the newest backup can be restored")
    assert "a restore test (trackbox-backup-proof) holds the lock, since Mon 02:30." in lock_problem(
        proof, "vm", "site.yml"
    )


def test_a_program_that_is_not_known_refuses_too() -> None:
    assert "a program holds /run/trackbox.lock" in lock_problem(states(), "vm", "site.yml")
    assert lock_problem(machine_states(""), "vm", "site.yml") == ""


@pytest.mark.parametrize(
    ("left", "refused", "let", "remedy"),
    [
        ("half-restored", "site.yml", "restore.yml", "playbooks/restore.yml -e restore_confirm=vm again."),
        ("half-restored", "upgrade.yml", "restore.yml", "playbooks/restore.yml -e restore_confirm=vm again."),
        ("upgrading", "site.yml", "upgrade.yml", "playbooks/upgrade.yml again."),
        ("dumps/unfinished", "restore.yml", "upgrade.yml", "playbooks/upgrade.yml again."),
    ],
)
def test_what_a_playbook_left_is_for_the_same_one_to_end(left: str, refused: str, let: str, remedy: str) -> None:
    found = machine_states(f"installed:yes\nleft:{left}\n")
    said = left_problem(found, "vm", refused)
    assert f"{refused} has changed nothing" in said
    assert said.endswith(remedy)
    assert left_problem(found, "vm", let) == ""
    assert left_problem(found, "vm", "uninstall.yml", replaces_data=True) == ""


@pytest.mark.parametrize("playbook", ["site.yml", "restore.yml", "upgrade.yml"])
def test_a_rotation_that_did_not_end_is_named_by_its_secrets(playbook: str) -> None:
    files = ["/home/ada/secrets/nginx_salt.new", "/home/ada/secrets/admin_password.new"]
    said = rotation_problem(states(), "vm", playbook, files)
    assert said == (
        f"A rotation of secrets of vm did not end, and {playbook} has changed nothing: type ansible-playbook "
        "playbooks/rotate-secrets.yml -e rotate=admin_password,nginx_salt again."
    )
    assert rotation_problem(states(), "vm", playbook, []) == ""
    # On a new machine, an interrupted rotation is no problem, because no service uses the old secrets.
    assert rotation_problem(machine_states(""), "vm", playbook, files) == ""


def test_a_rotation_that_has_replaced_its_files_is_named_by_the_marks_on_the_machine() -> None:
    left = machine_states("installed:yes\nrotating:mlflow_s3_secret\nrotating:nginx_salt\n")
    said = rotation_problem(left, "vm", "restore.yml", ["/home/ada/secrets/nginx_salt.new"])
    assert said.endswith("playbooks/rotate-secrets.yml -e rotate=mlflow_s3_secret,nginx_salt again.")


@pytest.mark.parametrize(("left", "playbook"), [("half-restored", "restore.yml"), ("upgrading", "upgrade.yml")])
def test_a_restore_or_an_upgrade_that_did_not_end_is_repeated_before_the_rotation(left: str, playbook: str) -> None:
    found = machine_states(f"installed:yes\nleft:{left}\nrotating:nginx_salt\n")
    assert left_problem(found, "vm", "rotate-secrets.yml")
    assert left_problem(found, "vm", playbook) == rotation_problem(found, "vm", playbook, []) == ""


@pytest.mark.parametrize("playbook", ["rotate-secrets.yml", "backup.yml", "uninstall.yml", "garbage.yml", "train.yml"])
def test_a_rotation_that_did_not_end_lets_other_playbooks_run(playbook: str) -> None:
    left = machine_states("installed:yes\nrotating:nginx_salt\n")
    assert rotation_problem(left, "vm", playbook, ["/home/ada/secrets/nginx_salt.new"]) == ""


@pytest.mark.parametrize(
    ("lines", "folder", "sentence"),
    [
        ("", "/srv/objects", ""),
        ("objects:/srv/objects", "/srv/objects", ""),
        ("objects:/srv/objects\nwanted:objects", "/srv/objects", ""),
        ("wanted:objects", "/srv/objects", ""),
        (
            "wanted:files",
            "/srv/objects",
            "minio_data_dir is /srv/objects, and that folder of vm holds files that are not",
        ),
        (
            "objects:/data",
            "/srv/objects",
            "The objects of vm are in /data, and minio_data_dir is /srv/objects: move them",
        ),
        ("objects:/data\nwanted:files", "/srv/objects", "The objects of vm are in /data, and"),
        (
            "objects:/data\nwanted:objects",
            "/srv/objects",
            "vm has objects in /data, where MinIO had them last, and in /srv",
        ),
    ],
)
def test_objects_are_never_left_behind(lines: str, folder: str, sentence: str) -> None:
    said = objects_problem(machine_states(lines + "\n"), "vm", folder)
    assert said.startswith(sentence)
    assert bool(said) == bool(sentence)


def test_the_script_says_what_is_in_the_folder_that_is_wanted(tmp_path: Path) -> None:
    def wanted() -> str:
        done = subprocess.run(["sh", str(SCRIPT), str(tmp_path)], check=True, capture_output=True, text=True)
        return str(machine_states(done.stdout)["wanted"])

    (tmp_path / "lost+found").mkdir()
    assert wanted() == ""
    (tmp_path / "letter").touch()
    assert wanted() == "files"
    (tmp_path / ".minio.sys").mkdir()
    assert wanted() == "objects"
