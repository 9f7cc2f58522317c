"""The deployment of compose.yaml in containers, from a copy of the checkout, under names of its own."""

import json
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.compose.engine import Engine

from optimizer_ops.services.processes import free_port, wait_until

ROOT = Path(__file__).parents[2]
_UP_S = 900.0
_WANTED = ("pyproject.toml", "README.md", "LICENSE", "requirements", "broker", "client", "workers", "ops", "compose")
_NEVER = shutil.ignore_patterns("__pycache__", "secrets", ".env")


class ComposeStack:
    """What an operator does with a checkout, a terminal and a browser."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.project = f"optimizer-test-{uuid.uuid4().hex[:8]}"
        self.folder = folder / "compose"
        for name in (".dockerignore", *_WANTED):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name, **({"ignore": _NEVER} if copy is shutil.copytree else {}))
        self.ports = {name: free_port() for name in ("RABBITMQ", "DASHBOARD", "PROMETHEUS", "GRAFANA")}
        own = {f"OPTIMIZER_{name}_PORT": str(port) for name, port in self.ports.items()}
        own |= {"COMPOSE_PROJECT_NAME": self.project, "OPTIMIZER_VERSION": "0.1.0.1"}
        if engine.private:  # its bridges lead nowhere
            own["OPTIMIZER_BUILD_NETWORK"] = "host"
        self.engine = Engine(engine.environ | own, engine.private)

    def setup(self, *profiles: str) -> None:
        """Run setup.sh."""
        subprocess.run(["sh", self.folder / "setup.sh", *profiles], check=True, capture_output=True, timeout=20)

    def compose(self, *words: str) -> str:
        """Run `docker compose` on this deployment; returns what it printed."""
        return self.engine.run("compose", "--file", str(self.folder / "compose.yaml"), *words, timeout=_UP_S)

    def up(self, *words: str) -> None:
        """Bring it up, and wait until every container is healthy."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "300", *words)
        except subprocess.CalledProcessError as error:
            error.add_note(self.compose("logs", "--no-color", "--tail", "20"))
            raise

    def optimizer(self, *words: str, service: str = "dashboard") -> str:
        """Run an `optimizer` command inside a container."""
        return self.compose("exec", "--no-TTY", service, "optimizer", *words)

    def containers(self) -> list[dict[str, Any]]:
        """All containers, as Docker describes them."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found: list[dict[str, Any]] = json.loads(self.engine.run("inspect", *ids)) if ids else []
        return found

    def secret(self, name: str) -> str:
        """What setup.sh has written there."""
        return (self.folder / "secrets" / name).read_text().strip()

    def page(self, path: str) -> Any:
        """What the dashboard's port answers, with the token."""
        headers = {"Authorization": f"Bearer {self.secret('admin_token')}"}
        url = f"http://127.0.0.1:{self.ports['DASHBOARD']}{path}"
        with urlopen(Request(url, headers=headers), timeout=20) as answer:
            return json.loads(answer.read())

    def leftovers(self) -> dict[str, list[str]]:
        """What the engine still has of it: containers, networks, volumes."""
        label = f"label=com.docker.compose.project={self.project}"
        return {
            "containers": self.engine.run("ps", "--all", "--quiet", "--filter", label).split(),
            "networks": self.engine.run("network", "ls", "--quiet", "--filter", label).split(),
            "volumes": self.engine.run("volume", "ls", "--quiet", "--filter", label).split(),
        }

    def down(self) -> None:
        """Take it down with its data and its image."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "60")
        self.engine.run("image", "rm", "--force", "fleet-optimizer:0.1.0.1")


def eventually(look, wanted, within_s: float = 60.0):  # type: ignore[no-untyped-def]
    """What `look()` returns once `wanted` says yes to it; fails with the last one."""
    seen = []

    def good() -> bool:
        seen[:] = [look()]
        return bool(wanted(seen[0]))

    began = time.monotonic()
    assert wait_until(good, within_s), f"after {time.monotonic() - began:.0f} s still: {seen}"
    return seen[0]
