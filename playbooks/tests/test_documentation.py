"""The target of each relative link in the documentation exists, and the index lists each page of docs/."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
LISTED = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
PAGES = [ROOT / name for name in subprocess.check_output(LISTED, cwd=ROOT, text=True).splitlines()]


def prose(page: Path) -> str:
    """Return the text of a Markdown page without its code blocks and inline code."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    return re.sub(r"(?m)^ {4}.*$|`[^`\n]*`", "", text)


def links(page: Path) -> Iterator[str]:
    """Yield the target of each relative link on a Markdown page."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    yield from (target for target in targets if not re.match(r"\w+:", target))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as GitHub builds them."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(page: Path, target: str) -> bool:
    """Return whether the target's file, or the heading in it, does not exist."""
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    return not file.exists() or bool(anchor and anchor not in anchors(file))


def test_every_relative_link_has_a_target() -> None:
    wrong = [f"{page.relative_to(ROOT)}: {target}" for page in PAGES for target in links(page) if missing(page, target)]
    assert wrong == []


def test_every_row_of_a_table_belongs_to_a_table() -> None:
    """An empty line ends a table. Rows after it are shown as text, unless they have their own header row."""
    starts = re.compile(r"(?m)^(?!\|).*\n(\|.*)\n(?!\|[ :-]*-)")
    wrong = [f"{page.relative_to(ROOT)}: {found[1][:60]}" for page in PAGES for found in starts.finditer(prose(page))]
    assert wrong == []


def declared(key: str) -> list[Any]:
    """Return what the roles declare under a key in meta/wiring.yml."""
    loaded = [yaml.safe_load(path.read_text()) for path in (ROOT / "roles").glob("*/meta/wiring.yml")]
    return [role[key] for found in loaded for role in found.values() if key in role]


def test_the_pages_name_each_account_and_each_secret_that_can_be_rotated() -> None:
    accounts = [account["name"] for some in declared("accounts") for account in some]
    secrets = [name for some in declared("secrets") for name in some]
    vm, operations = ((ROOT / "docs" / name).read_text() for name in ("your-own-vm.md", "operations.md"))
    users, refused = re.findall(r"(?m)^\| (?:users|an account or a group) .*$", vm)
    for name in accounts:
        shown = "mlflow-migrate" if "migration_user" in name else name
        assert f"`{shown}`" in users
        assert f"`{shown}`" in refused
    named = operations.split("The names are those of")[1].split("\n\n")[0]
    assert len(secrets) > 8
    assert [name for name in secrets if f"`{name}`" not in named] == []


def test_every_page_is_in_the_index() -> None:
    pages = {page.name for page in PAGES if page.parent == ROOT / "docs"} - {"README.md"}
    assert pages == {target for target in links(ROOT / "docs/README.md") if "/" not in target}
