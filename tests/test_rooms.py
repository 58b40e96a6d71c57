"""The rooms of lib import only what lies above them, and only lib/book knows notebooks."""

import ast

import pytest

from lib.files import ROOT

ROOMS = ["files", "train", "analysis", "records", "experiments", "claims", "book", "__main__"]
MODULES = sorted((ROOT / "lib").rglob("*.py"))


def imported(path) -> set[str]:
    """The modules that a file imports, also inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path) -> None:
    room = path.relative_to(ROOT / "lib").parts[0].removesuffix(".py")
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("lib.")}
    assert rooms <= set(ROOMS[: ROOMS.index(room) + 1]) if room != "__init__" else not rooms
    notebooks = {name.split(".")[0] for name in imported(path)} & {"IPython", "jupytext", "papermill", "nbformat"}
    assert not notebooks or room == "book"


def test_every_room_says_what_it_is_for() -> None:
    rooms = [path for path in (ROOT / "lib").iterdir() if (path / "__init__.py").exists()]
    assert {room.name for room in rooms} == set(ROOMS) - {"files", "__main__"}
    assert all(ast.get_docstring(ast.parse((room / "__init__.py").read_text())) for room in rooms)
