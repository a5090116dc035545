"""Settings without a server are written before Debian's package starts NGINX, so its default page is never served."""

from __future__ import annotations

from pathlib import Path

import yaml

ROLES = Path(__file__).parents[2] / "roles"
CLOSED = "closed.conf.j2"


def test_the_settings_are_written_before_the_package_is_installed() -> None:
    tasks = yaml.safe_load((ROLES / "nginx/tasks/install.yml").read_text())
    templates = [task.get("ansible.builtin.template", {}) for task in tasks]
    roles = [task.get("ansible.builtin.import_role", {}) for task in tasks]
    [written] = [place for place, template in enumerate(templates) if template.get("src") == CLOSED]
    [installed] = [place for place, role in enumerate(roles) if role.get("tasks_from") == "packages"]
    assert templates[written]["dest"] == "/etc/nginx/nginx.conf"
    # On a machine without NGINX, the file must exist before Debian's package is installed.
    assert tasks[written]["when"] == "'nginx' not in machine_packages"
    assert "'nginx'" in tasks[installed]["vars"]["machine_package_names"]
    assert written < installed


def test_no_earlier_task_installs_nginx() -> None:
    """No role declares the package nginx, because declared packages are installed before the role nginx runs."""
    for path in ROLES.glob("*/meta/wiring.yml"):
        [declared] = yaml.safe_load(path.read_text()).values()
        assert "nginx" not in str(declared.get("packages", "")), path


def test_the_settings_have_no_server() -> None:
    words = (ROLES / "nginx/templates" / CLOSED).read_text().split()
    assert [word for word in words if word in ("server", "include", "listen", "root")] == []
