"""Who may import whom. DESIGN in one sentence: imports run downward only."""

from __future__ import annotations

import ast
import configparser
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sklearn_prune"

# Lowest rooms first. Rooms on one line never import each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("_types",),
    ("utils", "_compat"),
    ("data",),
    ("losses", "selection", "base"),
    ("networks",),
    ("influence",),
    ("matching",),
    ("distributed",),
    ("_influence_pruner", "baselines"),
    ("meta",),
    ("pipeline",),
    ("model_selection",),
    ("inspection",),
    ("demo", "files"),
    ("__init__",),
    ("__main__",),
)
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
# cloudpickle comes with Dask.
OPTIONAL = {"pandas", "polars", "matplotlib", "pyarrow", "dask", "cloudpickle"}
# Names under which the distributions of setup.cfg are imported.
IMPORT_NAME = {"scikit-learn": "sklearn"}


def package_files(folder: Path = PACKAGE) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(
    nodes: Iterable[ast.AST], module: str, *, is_init: bool
) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for every import, relative ones resolved; name is '' for `import m`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parents = module.split(".")
                base = parents[: len(parents) - node.level + is_init]
                source = ".".join([*base, *filter(None, [source])])
            yield from ((source, alias.name) for alias in node.names)


@cache
def all_imports() -> list[tuple[Path, str, str]]:
    found = []
    for path in package_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        is_init = path.name == "__init__.py"
        for source, name in imports_of(ast.walk(tree), module_name(path), is_init=is_init):
            found.append((path, source, name))
    return found


def internal_target(source: str, name: str) -> str:
    """`from sklearn_prune.influence import x` means the module x where there is one."""
    candidate = f"{source}.{name}" if name else source
    path = PACKAGE.parent / Path(*candidate.split("."))
    return candidate if path.is_dir() or path.with_suffix(".py").exists() else source


@cache
def internal_imports() -> list[tuple[str, str]]:
    return [
        (module_name(path), internal_target(source, name))
        for path, source, name in all_imports()
        if source.split(".")[0] == "sklearn_prune"
    ]


def module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Statements that run on import: no function bodies, no `if TYPE_CHECKING` blocks."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo.extend(node.orelse)
            continue
        yield node
        todo.extend(ast.iter_child_nodes(node))


def test_the_package_has_files_to_check():
    assert PACKAGE / "__init__.py" in package_files()


def test_every_room_has_a_rank():
    rooms = {room_of(module_name(path)) for path in package_files()}
    assert rooms <= RANK.keys(), f"give {sorted(rooms - RANK.keys())} a place in LAYERS"


def test_imports_between_rooms_run_downward_only():
    upward = [
        f"{user} imports {used}"
        for user, used in internal_imports()
        if room_of(user) != room_of(used) and RANK[room_of(user)] <= RANK[room_of(used)]
    ]
    assert upward == []


def test_influence_and_selection_do_not_know_each_other():
    wings = {"influence", "selection"}
    crossing = [
        f"{user} imports {used}"
        for user, used in internal_imports()
        if {room_of(user), room_of(used)} == wings
    ]
    assert crossing == []


def test_a_room_is_entered_through_its_front_door():
    sneaking = [
        f"{user} imports {used}"
        for user, used in internal_imports()
        if room_of(user) != room_of(used) and used.count(".") > 1
    ]
    assert sneaking == [], "import what the room's __init__ offers"


def test_imports_have_no_cycle():
    edges: dict[str, set[str]] = {}
    for user, used in internal_imports():
        edges.setdefault(user, set()).add(used)

    # It raises CycleError, with the cycle.
    TopologicalSorter(edges).prepare()


def test_selection_knows_numbers_only():
    banned = {"torch", "skorch", "sklearn"}
    found = [
        f"{path.name} imports {source}"
        for path, source, _ in all_imports()
        if PACKAGE / "selection" in path.parents and source.split(".")[0] in banned
    ]
    assert found == []


def test_private_names_of_scikit_learn_live_in_compat():
    found = [
        f"{path.name}: {source} {name}"
        for path, source, name in all_imports()
        if source.split(".")[0] == "sklearn"
        and any(part.startswith("_") for part in [*source.split("."), *name.split(".")])
        and not name.startswith("__")
        and path != PACKAGE / "_compat.py"
    ]
    assert found == []


def test_optional_packages_are_imported_where_they_are_used():
    found = []
    for path in package_files():
        nodes = module_level(ast.parse(path.read_text(encoding="utf-8")))
        for source, _ in imports_of(nodes, module_name(path), is_init=False):
            if source.split(".")[0] in OPTIONAL:
                found.append(f"{path.name}: {source}")
    assert found == []


def test_dependencies_are_those_that_are_imported():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    required = config["options"]["install_requires"].split()
    declared = {requirement.split(">=")[0] for requirement in required}
    assert declared == {"scikit-learn", "torch", "numpy", "scipy", "skorch"}

    outside = {source.split(".")[0] for _, source, _ in all_imports()}
    outside -= sys.stdlib_module_names | OPTIONAL | {"sklearn_prune"}
    # joblib and threadpoolctl come with scikit-learn, which requires them.
    outside -= {"joblib", "threadpoolctl"}
    assert outside <= {IMPORT_NAME.get(name, name) for name in declared}
