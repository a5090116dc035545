"""The layers of the package: no module imports from a higher layer, and no import is circular."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fraud

PACKAGE = Path(fraud.__file__).parent

#: Sub-packages and top-level modules of each layer, the lowest layer first.
LAYERS = (
    ("__init__", "types", "errors", "settings", "signals"),
    ("data",),
    ("evaluation",),
    ("models",),
    ("tracking",),
    ("screen",),
    ("train", "promote", "predict", "evaluate", "monitor"),
    ("cli",),
    ("__main__",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}


def modules(package: Path) -> dict[str, Path]:
    """The files of all modules below the package's directory, by dotted module name."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(("fraud", *parts)).removesuffix(".__init__")] = path
    return found


def imports(tree: ast.AST, known: set[str]) -> set[str]:
    """The modules of `known` that a module imports, including imports in functions or for types."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not followed here"
            source = node.module or ""
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= names & known or {source}
    return found & known


def graph(package: Path) -> dict[str, set[str]]:
    """The import graph: maps each module to the modules that it imports."""
    files = modules(package)
    return {
        name: imports(ast.parse(path.read_text("utf-8")), set(files))
        for name, path in files.items()
    }


def layer(module: str) -> int:
    """The number of a module's layer."""
    return LAYER[(module.split(".") + ["__init__"])[1]]


def upward(edges: dict[str, set[str]]) -> list[str]:
    """A message for each import of a module of a higher layer."""
    return [
        f"{module} imports {imported}"
        for module, found in edges.items()
        for imported in sorted(found)
        if layer(imported) > layer(module)
    ]


def test_no_module_imports_itself_through_others() -> None:
    edges = graph(PACKAGE)
    assert len(edges) > 30
    assert sum(map(len, edges.values())) > 60
    list(TopologicalSorter(edges).static_order())


def test_no_layer_imports_a_higher_one() -> None:
    assert upward(graph(PACKAGE)) == []


def test_the_shared_types_import_nothing_of_the_package() -> None:
    assert graph(PACKAGE)["fraud.types"] == set()


def test_a_circle_and_an_upward_import_would_be_found(tmp_path: Path) -> None:
    sources = {
        "__init__": "",
        "types": "",
        "screen": "if TYPE_CHECKING:\n    from fraud.train import Comparison\n",
        "train": "def train():\n    from fraud import screen\n",
    }
    for name, text in sources.items():
        (tmp_path / f"{name}.py").write_text(text)
    edges = graph(tmp_path)
    with pytest.raises(CycleError):
        list(TopologicalSorter(edges).static_order())
    assert upward(edges) == ["fraud.screen imports fraud.train"]
