#!/usr/bin/env python3
"""Print random comments, docstrings and task names, for a reader who does not know the repository.

tests/prose.py [SEED]       prints 100 texts; on the same commit, the same seed prints the same texts
"""

from __future__ import annotations

import ast
import random
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COUNT = 100
TASK = re.compile(r"^(\s*)- name: (.+?)(?: # noqa.*)?$")
# The keys whose values are lists of tasks.
TASKS = re.compile(r"^\s*(?:- )?(?:(?:pre_|post_)?tasks|handlers|block|rescue|always):$")
# Skips instructions for a linter, such as `type: ignore`.
COMMENT = re.compile(r"^\s*#:?(?! ?(?:type: |noqa|fmt: |!)) ?(.+)")


def of_python(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring and comment of a Python file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            text := ast.get_docstring(node)
        ):
            yield getattr(node, "lineno", 1), text
    with path.open("rb") as file:
        yield from joined(
            (t.start[0], t.string) for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT
        )


def joined(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Join comments on consecutive lines into one text; yield it with its first line."""
    first, last, texts = 0, 0, list[str]()
    for number, line in lines:
        found = COMMENT.match(line)
        if texts and (not found or number != last + 1):
            yield first, " ".join(texts)
            texts = []
        if found:
            first = first if texts else number
            texts.append(found[1])
        last = number
    if texts:
        yield first, " ".join(texts)


def task_names(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each play and task. Skip names of units, users and other items of lists."""
    for number, line in lines:
        if found := TASK.match(line):
            depth = len(found[1])
            before = (text for _, text in reversed(lines[: number - 1]) if re.match(r"\s*[^\s#]", text))
            parent = next((text for text in before if len(text) - len(text.lstrip()) < depth), "")
            if not depth or TASKS.match(parent):
                yield number, f"TASK {found[2]}"


def of_yaml(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each task name and comment of a YAML file or a template."""
    lines = list(enumerate(path.read_text().splitlines(), 1))
    if path.suffix == ".yml":
        yield from task_names(lines)
    yield from joined(iter(lines))


def main() -> None:
    """Print the texts. The seed is the first argument; without it, a random seed is used."""
    seed = int(sys.argv[1]) if sys.argv[1:] else random.randrange(10**6)
    names = subprocess.run(
        ["git", "ls-files", "*.py", "*.yml", "*.j2"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    texts = []
    for name in sorted(names.stdout.split("\n")[:-1]):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            texts += [(name, *each) for each in (of_python(path) if path.suffix == ".py" else of_yaml(path))]
    print(f"{COUNT} of {len(texts)} texts, drawn with the seed {seed}.")
    for name, number, text in random.Random(seed).sample(texts, COUNT):
        print(f"\n{name}:{number}\n    " + text.replace("\n", "\n    "))


if __name__ == "__main__":
    main()
