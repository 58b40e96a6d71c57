"""pip's lock, pyproject.toml and the conda environment must name the same versions."""

import json
import re
import tomllib
from importlib.metadata import requires

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.notebooks import ROOT


def pins(lines: list[str]) -> dict[str, str]:
    """Package to version, for requirements that are all pinned exactly."""
    found = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", line)
        assert match, f"not an exact pin: {line!r}"
        found[canonicalize_name(match[1])] = match[2]
    return found


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def direct(project: dict) -> dict[str, str]:
    return pins(project["dependencies"] + project["optional-dependencies"]["test"])


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return pins([line for line in lines if not line.startswith("#")])


@pytest.fixture(scope="module")
def conda() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def test_conda_pins_what_pyproject_pins(direct: dict, conda: dict) -> None:
    assert pins(conda["dependencies"][-1]["pip"]) == direct


def test_conda_python_satisfies_pyproject(project: dict, conda: dict) -> None:
    python = next(entry for entry in conda["dependencies"] if entry.startswith("python="))
    assert Requirement(f"python{project['requires-python']}").specifier.contains(python.removeprefix("python="))


def test_lock_pins_what_pyproject_pins(direct: dict, lock: dict) -> None:
    assert {name: lock.get(name) for name in direct} == direct


def test_lock_is_complete_and_consistent(direct: dict, lock: dict) -> None:
    """From the direct dependencies, every requirement that holds here leads to a version that the lock names and allows."""
    todo, seen = [Requirement(name) for name in direct], set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        assert name in lock, f"{name} is missing from the lock"
        assert requirement.specifier.contains(lock[name], prereleases=True), (
            f"the lock has {name} {lock[name]}, not {requirement}"
        )
        key = (name, *sorted(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        for needed in map(Requirement, requires(requirement.name) or []):
            extras = requirement.extras or {""}
            if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(needed)
    assert {name for name, *_ in seen} == set(lock), "the lock has packages that nothing needs"


def test_workflows_call_what_a_developer_calls() -> None:
    commands = {}
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"].values()
        commands[path.stem] = [step.get("run") for job in jobs for step in job["steps"]]
    assert "bash .ci/run" in commands["ci"]
    assert "make book" in commands["pages"]


def test_dev_container_installs_what_make_installs(project: dict) -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    python = container["image"].rpartition(":")[2]
    assert Requirement(f"python{project['requires-python']}").specifier.contains(python)
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"$(RUN) -m {one}\n" in makefile for one in container["postCreateCommand"].split(" && "))


def test_licences_are_named_wherever_one_looks(project: dict) -> None:
    assert project["license"] == "MIT AND CC-BY-4.0"
    for name in project["license-files"]:
        assert (ROOT / name).read_text().strip()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == "MIT" and "CC BY 4.0" in citation["message"]
    readme = (ROOT / "README.md").read_text()
    assert "Code: MIT" in readme and "CC BY 4.0" in readme
