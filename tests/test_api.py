"""The page on lib names every room and module, and its functions and classes have docstrings to show."""

import ast
import re

import pytest

from lib.files import ROOT
from tools.build import with_modules

PAGE = with_modules((ROOT / "book" / "api.md").read_text())
ROOMS = sorted(path.parent for path in (ROOT / "lib").glob("*/__init__.py"))
MODULES = sorted(path for path in (ROOT / "lib").rglob("*.py") if not path.name.startswith("__"))


def test_the_page_has_every_module_folded_under_its_room() -> None:
    listed = re.findall(r"^\.\. automodule:: (\S+)\n {3}:members:$", PAGE, re.M)
    assert sorted(listed) == sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES), (
        "book/api.md has other modules than lib"
    )
    for room in ROOMS:
        section = PAGE.partition(f"\n## lib.{room.name}\n")[2].partition("\n## ")[0]
        assert f".. automodule:: lib.{room.name}\n" in section
        names = sorted(path.stem for path in room.glob("*.py") if not path.name.startswith("__"))
        assert sorted(re.findall(r"^ {3}(\w+)$", section, re.M)) == names
        assert sorted(re.findall(rf"lib\.{room.name}\.(\w+)$", section, re.M)) == sorted(2 * names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_name_says_what_it_is(path) -> None:
    named = public(ast.parse(path.read_text()))
    named += [method for one in named if isinstance(one, ast.ClassDef) for method in public(one)]
    assert [one.name for one in named if not ast.get_docstring(one)] == []


def public(of: ast.Module | ast.ClassDef) -> list[ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a module or class that are for others. Attributes of a protocol are told with their class."""
    kinds = ast.FunctionDef | ast.ClassDef
    named = [one for one in of.body if isinstance(one, kinds) and one.name[0] != "_"]
    return [one for one in named if not (one.decorator_list and ast.unparse(one.body[0]) == "...")]
