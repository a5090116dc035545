#!/usr/bin/python
"""Ansible module that creates folders and writes files, many in one execution."""

from __future__ import annotations

DOCUMENTATION = """
module: files
short_description: Make folders, and write files
description:
  - What M(ansible.builtin.template), M(ansible.builtin.copy) and M(ansible.builtin.file) do, for many files in one
    execution. An execution takes 0.2 s, and those take two for each file.
  - Missing parents are made, with mode 0755.
options:
  files:
    description: The folders and files, in the order in which they are made.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Absolute path. A folder's ends in a slash., type: path, required: true}
      content: {description: The whole content of a file., type: str, default: ""}
      owner: {description: User who owns it., type: str, default: root}
      group: {description: Group that owns it., type: str, default: root}
      mode: {description: Permissions; by default 0644 for a file and 0755 for a folder., type: raw}
      validate: {description: A command that checks the new file before it replaces the old one; C(%s) is its path.,
                 type: str, default: ""}
author: [Trackbox (!UNKNOWN)]
"""

EXAMPLES = """
- trackbox.workbench.files:
    files:
      - {path: /etc/trackbox/mlflow/, mode: "0700"}
      - path: /etc/systemd/system/mlflow.service
        content: "{{ lookup('ansible.builtin.template', 'mlflow.service.j2') }}"
"""

RETURN = """
paths: {description: The files and folders that were changed., returned: always, type: list, elements: str}
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

ITEM: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "default": ""},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "raw"},
    "validate": {"type": "str", "default": ""},
}


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents with mode 0755, whatever the umask is."""
    for folder in [folder for folder in (*reversed(path.parents), path) if not folder.is_dir()]:
        folder.mkdir()
        folder.chmod(0o755)


def write(module: AnsibleModule, path: Path, content: bytes, validate: str) -> None:
    """Replace a file, if the command `validate` accepts the new content."""
    descriptor, name = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    if validate:
        status, out, err = module.run_command(validate % name)
        if status:
            module.fail_json(msg=f"{path} is left as it is, the new one does not validate: {(err or out).strip()}")
    make_folder(path.parent)
    module.atomic_move(name, str(path))


def apply(module: AnsibleModule, item: dict[str, Any]) -> tuple[bool, dict[str, str]]:
    """Bring one folder or file into its wanted state; return whether it was changed, and the diff."""
    path, folder = Path(item["path"]), item["path"].endswith("/")
    there = path.is_dir() if folder else path.is_file()
    before = b"" if folder or not there else path.read_bytes()
    content = item["content"].encode()
    changed = not there or (before != content and not folder)
    if changed and not module.check_mode:
        if folder:
            make_folder(path)
        else:
            write(module, path, content, item["validate"])
    if there or not module.check_mode:
        mode = item["mode"] or ("0755" if folder else "0644")
        wanted = {"path": str(path), "owner": item["owner"], "group": item["group"], "mode": mode}
        wanted |= {"attributes": None, "secontext": [None, None, None]}
        changed = module.set_fs_attributes_if_different(wanted, changed)
    diff = {"before_header": item["path"], "after_header": item["path"], "before": before.decode(errors="replace")}
    return changed, diff | {"after": before.decode(errors="replace") if folder else item["content"]}


def main() -> None:
    """Create the folders and write the files, in the order of the list."""
    files = {"type": "list", "elements": "dict", "options": ITEM, "required": True}
    module = AnsibleModule({"files": files}, supports_check_mode=True)
    paths, diffs = [], []
    for item in module.params["files"]:
        changed, diff = apply(module, item)
        if changed:
            paths.append(item["path"])
            diffs.append(diff)
    module.exit_json(changed=bool(paths), paths=paths, diff=diffs)


if __name__ == "__main__":
    main()
