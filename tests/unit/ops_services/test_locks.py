"""The locked versions are complete for every machine they are meant for, and name no index."""

import importlib.metadata
import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = Path(__file__).parents[3] / "requirements"
PYTHONS = ("3.11.0", "3.11.2", "3.11.9", "3.12.0", "3.13.0", "3.14.0")
PLATFORMS = (("linux", "Linux"), ("darwin", "Darwin"))


def locked(name):
    """The names in a lock file."""
    lines = (LOCKS / f"{name}.txt").read_text().splitlines()
    return {canonicalize_name(line.partition("==")[0]) for line in lines if re.match(r"[a-z0-9]", line)}


def requirements(package):
    """What a package says it needs; nothing if it is locked for other machines only."""
    try:
        return importlib.metadata.requires(package) or ()
    except importlib.metadata.PackageNotFoundError:
        return ()


def machines():
    """The environments that markers may ask for."""
    for python in PYTHONS:
        for sys_platform, system in PLATFORMS:
            yield dict(
                default_environment(),
                python_version=python.rpartition(".")[0],
                python_full_version=python,
                implementation_version=python,
                sys_platform=sys_platform,
                platform_system=system,
                extra="",
            )


@pytest.mark.parametrize("name", ["client", "server", "dev"])
def test_what_a_locked_package_needs_on_any_machine_is_locked(name):
    """The lock was made on one machine: a marker that is false there may be true on another."""
    names, missing = locked(name), set()
    for package in names & locked("dev"):
        for line in requirements(package):
            needed = Requirement(line)
            wanted = needed.marker is None or any(needed.marker.evaluate(machine) for machine in machines())
            if wanted and canonicalize_name(needed.name) not in names:
                missing.add(f"{package} needs {line}")

    assert missing == set()


@pytest.mark.parametrize("name", ["client", "server", "dev"])
def test_a_lock_is_versions_and_hashes_only(name):
    """Where packages come from is the machine's own setting."""
    for line in (LOCKS / f"{name}.txt").read_text().splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9.\-]+==\S+( ; .*)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


def test_an_agent_installs_little():
    """The client's lock is part of the server's, which is part of the developer's."""
    assert locked("client") < locked("server") < locked("dev")


@pytest.mark.parametrize("name", ["client", "server", "dev"])
def test_the_lock_is_what_the_project_asks_for(name):
    """After a change of pyproject.toml, `make lock` brings them together again."""
    project = tomllib.loads((LOCKS.parent / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = {
        "client": project["project"]["dependencies"],
        "server": extras["server"],
        "dev": [*itertools.chain.from_iterable(extras.values()), *project["dependency-groups"]["dev"]],
    }
    lines = [line.split()[0] for line in (LOCKS / f"{name}.txt").read_text().splitlines() if "==" in line]
    versions = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}

    for line in asked[name]:
        needed = Requirement(line)
        assert needed.specifier.contains(versions.get(canonicalize_name(needed.name), "0")), line
