"""Install the server programs with apt-get, where we are root on Debian or a relative of it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optimizer_ops.services.urls import ServicesUnavailable

PACKAGES = {"rabbitmq": "rabbitmq-server", "redis": "redis-server"}
_POLICY = Path("/usr/sbin/policy-rc.d")
_APT_S = 900.0


def available() -> bool:
    """Whether packages can be installed here without asking anybody."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(keys: list[str]) -> None:
    """Install the programs of these services; raises `ServicesUnavailable` with apt-get's last words."""
    packages = [PACKAGES[key] for key in keys]
    with _services_not_started():
        _apt_get("update", "-qq")
        _apt_get("install", "-y", "-qq", "--no-install-recommends", *packages)


def _apt_get(*words: str) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(  # noqa: S603
            ["apt-get", *words],  # noqa: S607 - found on root's own PATH
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_APT_S,
        )
    except subprocess.TimeoutExpired:
        raise ServicesUnavailable(f"apt-get {words[0]} took more than {_APT_S:.0f} s.") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise ServicesUnavailable(f"apt-get {' '.join(words)} failed: {said[-1]}")


@contextmanager
def _services_not_started() -> Iterator[None]:
    """Debian starts what it installs, which fails in a container and takes the usual ports elsewhere: forbid it."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
