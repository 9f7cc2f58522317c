"""RabbitMQ and Redis as containers, through services.yaml, where a Docker engine answers."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from optimizer_ops.services.urls import ServicesUnavailable, parse

_COMPOSE_FILE = Path(__file__).resolve().parents[3] / "compose" / "services.yaml"
_ENGINE_S = 10.0
_UP_S = 600.0  # images may have to be fetched first


def available() -> bool:
    """Whether a Docker engine answers, with compose, and our compose file is there (it is in a checkout)."""
    if not _COMPOSE_FILE.is_file() or shutil.which("docker") is None:
        return False
    return all(_succeeds(["docker", *words]) for words in (["info"], ["compose", "version"]))


def start(key: str, url: str, port: int) -> None:
    """Start the service `key` on `port` of 127.0.0.1 and wait until it is healthy; raises `ServicesUnavailable`."""
    address = parse(url)
    settings = {
        f"OPTIMIZER_{key.upper()}_PORT": str(port),
        **({"OPTIMIZER_RABBITMQ_USER": address.user} if key == "rabbitmq" and address.user else {}),
        **({"OPTIMIZER_RABBITMQ_PASSWORD": address.password} if key == "rabbitmq" and address.password else {}),
        **({"OPTIMIZER_RABBITMQ_VHOST": address.path} if key == "rabbitmq" and address.path else {}),
    }
    _compose(["up", "--detach", "--wait", key], settings)


def stop(key: str) -> None:
    """Stop and remove the container of `key`; its volume keeps the data. Raises `ServicesUnavailable`."""
    _compose(["rm", "--stop", "--force", key], {})


def _compose(words: list[str], settings: Mapping[str, str]) -> None:
    command = ["docker", "compose", "--project-name", "optimizer-services", "--file", str(_COMPOSE_FILE), *words]
    try:
        done = subprocess.run(  # noqa: S603 - the installed program
            command, env=os.environ | settings, capture_output=True, text=True, check=False, timeout=_UP_S
        )
    except subprocess.TimeoutExpired:
        raise ServicesUnavailable(f"docker compose {' '.join(words)} took more than {_UP_S:.0f} s.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise ServicesUnavailable(f"docker compose {' '.join(words)} failed: {said[-1]}")


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_ENGINE_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
