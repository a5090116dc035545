"""No generated secret is in git, a log, a systemd unit, a command line or Ansible's output."""

import base64
import re
import subprocess
from collections.abc import Iterator

import pytest
from machine import ROOT, Machine
from testinfra.host import Host


@pytest.fixture(scope="module")
def secrets(machine: Machine, host: Host) -> dict[str, str]:
    """Return by name every generated secret, the base64 logins that requests contain, and the password hashes."""
    names = [
        file.name
        for file in machine.secrets.iterdir()
        if file.name not in ("ca.crt", "env", "sbom.cdx.json", "summary.txt")
    ]
    found = {name: machine.secret(name) for name in names}
    assert len(found) >= 6
    for user in ("admin", "training"):
        login = f"{user}:{found[f'{user}_password']}"
        found[f"{user}'s login"] = base64.b64encode(login.encode()).decode()
    for line in host.check_output("cat /etc/trackbox/nginx/htpasswd").splitlines():
        found[f"{line.split(':')[0]}'s hash"] = line.partition(":")[2]
    hashes = re.findall(r'"([^":]*:[^":]*)" ([\w-]{22})', host.check_output("cat /etc/trackbox/nginx/tokens.conf"))
    assert len(hashes) >= 6
    found |= {f"the hash of {login}": hashed for login, hashed in hashes}
    return found


def secrets_in(secrets: dict[str, str], text: str) -> list[str]:
    """Return the names of the secrets that a text contains."""
    return [name for name, secret in secrets.items() if secret in text]


def test_no_secret_is_in_the_git_history(secrets: dict[str, str]) -> None:
    for command in (["git", "log", "--all", "--patch", "--format=fuller"], ["git", "grep", "--untracked", "-I", ""]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=True)
        text = done.stdout.decode(errors="replace")
        assert len(text) > 100_000
        assert secrets_in(secrets, text) == []


@pytest.mark.parametrize(
    "command",
    [
        "journalctl --no-pager --output=verbose",
        "systemctl show '*' --all --no-pager",
        "systemctl cat '*' --no-pager 2>/dev/null",
        "ps axww -o args",
        "cat /var/log/nginx/*.log /var/log/mysql/*.log /var/log/apt/*.log 2>/dev/null",
        "grep -rhI --devices=skip '' /tmp /var/tmp /root /run/systemd /var/lib/systemd | iconv -c -f utf-8 -t ascii",
    ],
)
def test_no_secret_is_in_logs_units_and_processes(host: Host, secrets: dict[str, str], command: str) -> None:
    text = host.run(command).stdout
    assert text
    assert secrets_in(secrets, text) == []


def test_no_secret_is_in_a_file_that_others_can_read(host: Host, secrets: dict[str, str]) -> None:
    others = "find / -xdev -type f -perm /o+r -not -path '/proc/*' -not -path '/sys/*' -size -20M -print0"
    words = "\n".join(secrets.values())
    host.check_output(
        "install -m 600 /dev/null /root/secrets-to-find && cat > /root/secrets-to-find <<'END'\n%sEND" % (words + "\n")
    )
    try:
        found = host.run(f"{others} | xargs -0 grep -laF -f /root/secrets-to-find 2>/dev/null").stdout.split()
        # Check that the search works: it must find the secrets in /etc/trackbox.
        there = host.run("grep -rlaF -f /root/secrets-to-find /etc/trackbox").stdout.split()
    finally:
        host.check_output("rm /root/secrets-to-find")
    assert "/etc/trackbox/training/fraud.env" in there
    # Ignore files in folders that other users may not enter.
    reachable = [path for path in found if host.run("runuser -u nobody -- head -c 1 %s", path).rc == 0]
    assert reachable == []


@pytest.fixture(scope="module")
def output(machine: Machine, host: Host) -> Iterator[str]:
    """Damage the files of secrets, so that site.yml writes them again; yield Ansible's most verbose output."""
    host.check_output("mv /etc/trackbox/nginx/htpasswd /etc/trackbox/nginx/htpasswd.before")
    host.check_output("echo x > /etc/trackbox/mlflow/aws; echo x > /etc/trackbox/minio/root_password")
    host.check_output("echo x > /etc/trackbox/training/fraud.env")
    yield machine.play("-vvv", "--diff")
    host.check_output("rm -f /etc/trackbox/nginx/htpasswd.before")


def test_no_secret_is_in_ansibles_most_verbose_output(secrets: dict[str, str], output: str) -> None:
    assert len(output) > 50_000
    assert len(re.findall(r"(?m)^changed:", output)) >= 4
    assert secrets_in(secrets, output) == []
