"""The engine, the images and the deployment of `make test-compose`: made once, told step by step, and taken away."""

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.compose import images
from tests.compose.engine import Engine, running
from tests.compose.stack import ROOT, ComposeStack

_PROFILES = {None, "simulate", "postgres"}
# Beside the servers: what Debian has of the profile `observability`.
_WATCHING = {"prometheus"}


@pytest.fixture(scope="session")
def say() -> Callable[[str], None]:
    """Tell a step, with the seconds since the first one."""
    began = time.monotonic()
    return lambda step: print(f"{time.monotonic() - began:6.0f} s  {step}", flush=True)


@pytest.fixture(scope="session")
def engine(say: Callable[[str], None]) -> Iterator[Engine]:
    """A Docker engine; one that was started for this leaves nothing behind."""
    # Not in /tmp, which may be memory: images take two gigabytes.
    folder = Path(tempfile.mkdtemp(prefix="optimizer-docker-", dir="/var/tmp"))
    try:
        with running(folder) as engine:
            say("starting a Docker engine of our own" if engine.private else "using the Docker engine that runs")
            images.ensure(engine, _images(), folder, say)
            yield engine
            say("ending what was started")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stack(
    engine: Engine, say: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeStack]:
    """The whole deployment with a simulated backend, as setup.sh and `docker compose up` make it."""
    stack = ComposeStack(engine, tmp_path_factory.mktemp("checkout"))
    try:
        say("setup.sh simulate")
        stack.setup("simulate")
        say("building the image")
        stack.compose("build", "--quiet")
        say("docker compose up --wait")
        stack.up()
        yield stack
        say("docker compose down --volumes")
    finally:
        stack.down()
    assert stack.leftovers() == {"containers": [], "networks": [], "volumes": []}


def _images() -> set[str]:
    """The images of what is run here."""
    services = yaml.safe_load((ROOT / "compose/compose.yaml").read_text())["services"]
    wanted = {
        each["image"]
        for name, each in services.items()
        if name in _WATCHING or set(each.get("profiles", [None])) & _PROFILES
    }
    dockerfile = (ROOT / "compose/Dockerfile").read_text()
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    return {name for name in wanted if not name.startswith("fleet-optimizer:")} | bases
