#!/usr/bin/python
"""Ansible module that enables, starts and stops several systemd units in one execution."""

from __future__ import annotations

DOCUMENTATION = """
module: units
short_description: Enable and start units of systemd, or stop and disable them
description:
  - What M(ansible.builtin.systemd_service) does, for many units in one execution. An execution takes 0.2 s, and
    that one takes one for each unit.
options:
  units:
    description: The units, in the order in which they are changed.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: The unit's name with its suffix., type: str, required: true}
      state: {description: What the unit shall be., type: str, default: started,
              choices: [started, stopped, restarted, reloaded]}
      enabled: {description: Whether the unit starts at boot. A unit without an Install section stays as it is.,
                type: bool, default: true}
  daemon_reload: {description: Whether systemd reads its unit files first., type: bool, default: false}
author: [Trackbox (!UNKNOWN)]
"""

EXAMPLES = """
- trackbox.workbench.units:
    units:
      - {name: mlflow.socket}
      - {name: trackbox-gc.timer, state: stopped, enabled: false}
    daemon_reload: "{{ __mlflow_written is changed }}"
"""

RETURN = """
units: {description: The names of the units that were changed., returned: always, type: list, elements: str}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

VERBS = {"started": "start", "stopped": "stop", "restarted": "restart", "reloaded": "reload-or-restart"}
UNIT: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": list(VERBS), "default": "started"},
    "enabled": {"type": "bool", "default": True},
}


def systemctl(module: AnsibleModule, *words: str) -> str:
    """Run systemctl and return its output; if it fails, end the module with its error."""
    status, out, err = module.run_command(["systemctl", *words])
    if status:
        module.fail_json(msg=f"systemctl {' '.join(words)}: {(err or out).strip()}")
    return str(out)


def parsed(told: str) -> list[dict[str, str]]:
    """Return the properties of each unit in the output of `systemctl show`."""
    return [dict(line.split("=", 1) for line in block.splitlines()) for block in told.strip().split("\n\n")]


def verbs(unit: dict[str, Any], now: dict[str, str]) -> list[str]:
    """Return the systemctl commands that bring a unit into its wanted state, in the order in which to run them.

    now: the unit's current properties LoadState, ActiveState and UnitFileState.
    """
    found = []
    runs = now["ActiveState"] in ("active", "activating", "reloading")
    if unit["enabled"] and now["UnitFileState"] in ("disabled", "enabled-runtime"):
        found.append("enable")
    if not unit["enabled"] and now["UnitFileState"] in ("enabled", "enabled-runtime"):
        found.append("disable")
    if unit["state"] in ("restarted", "reloaded") or runs != (unit["state"] == "started"):
        found.append(VERBS[unit["state"]])
    return found


def main() -> None:
    """Read the state of all units at once, and change the units whose state differs from the wanted one."""
    given = {"type": "list", "elements": "dict", "options": UNIT, "required": True}
    reload = {"type": "bool", "default": False}
    module = AnsibleModule({"units": given, "daemon_reload": reload}, supports_check_mode=True)
    units = module.params["units"]
    if module.params["daemon_reload"] and not module.check_mode:
        systemctl(module, "daemon-reload")
    names = [unit["name"] for unit in units]
    told = parsed(systemctl(module, "show", "--property=LoadState,ActiveState,UnitFileState", "--", *names))
    changed: list[str] = []
    for unit, now in zip(units, told, strict=True):
        if now["LoadState"] == "not-found" and (unit["enabled"] or unit["state"] != "stopped"):
            module.fail_json(msg=f"There is no unit {unit['name']}.", units=changed)
        todo = verbs(unit, now)
        if todo:
            changed.append(unit["name"])
        for verb in todo if not module.check_mode else []:
            systemctl(module, verb, "--", unit["name"])
    module.exit_json(changed=bool(changed), units=changed)


if __name__ == "__main__":
    main()
