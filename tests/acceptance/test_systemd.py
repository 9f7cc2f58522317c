"""The units, run by a real systemd: its manager for users, in mount namespace of its own. Takes root."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.support.stack import Stack, wait_until

MANAGER = Path("/lib/systemd/systemd")
COORDINATOR, WORKER, SECOND = (
    "optimizer-coordinator@1.service",
    "optimizer-worker@alpha.service",
    "optimizer-worker@alpha:2.service",
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not MANAGER.exists() or shutil.which("unshare") is None,
        reason="needs root, systemd and unshare",
    ),
]
# The manager refuses to start where systemd did not boot the machine, by the look of this folder.
START = f"mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && exec {MANAGER} --user --log-target=console"


class Manager:
    """A user's systemd with a home of its own."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.home = home
        runtime = home / "run"
        runtime.mkdir(mode=0o700)
        self.environment = stack.environment() | {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
        Path("/run/systemd").mkdir(exist_ok=True)
        with (home / "systemd.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", START], env=self.environment, stdout=log, stderr=log
            )

    def run(self, *words: str) -> str:
        done = subprocess.run(
            ["systemctl", "--user", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        return self.run("show", "--property", name, "--value", unit)

    def stop(self) -> None:
        self.run("stop", "optimizer.target", "optimizer-*")
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def manager(stack: Stack):
    """A running systemd, with the units of a deployment that `optimizer install systemd` wrote."""
    stack.simulate("alpha")
    stack.extra = "[waits]\nself_check_s = 1.0\n"
    stack.configure()
    config = stack.folder / "optimizer.toml"
    # A socket's path may have 108 bytes at most.
    with tempfile.TemporaryDirectory(prefix="sd") as folder:
        running = Manager(stack, Path(folder))
        command = [sys.executable, "-m", "optimizer_ops", "install", "systemd", "--user", "--coordinators", "1"]
        subprocess.run(
            [*command, "--worker", "alpha:2", "--config", str(config)], env=running.environment, timeout=60, check=True
        )
        units = running.home / ".config/systemd/user"
        (units / "optimizer-coordinator@.service.d").mkdir()
        (units / "optimizer-coordinator@.service.d/quick.conf").write_text("[Service]\nWatchdogSec=3\n")
        (running.home / ".config/optimizer").mkdir(parents=True)
        # The manager does not hand its own environment on to services.
        wanted = {
            name: value for name, value in running.environment.items() if name.startswith(("OPTIMIZER_", "PYTHON"))
        }
        text = "".join(f"{name}={value}\n" for name, value in wanted.items())
        (running.home / ".config/optimizer/environment").write_text(text)
        wait_until(lambda: "optimizer" in running.run("list-unit-files", "optimizer*"), "systemd", 20)
        try:
            yield running
        finally:
            running.stop()


def test_target_runs_the_fleet(stack: Stack, manager: Manager):
    """The target starts everything, and ends it; a frozen coordinator is ended and started anew."""
    manager.run("daemon-reload")
    manager.run("start", "--no-block", "optimizer.target")
    for unit in (COORDINATOR, WORKER, SECOND, "optimizer-recorder.service"):
        wait_until(lambda unit=unit: manager.show(unit, "ActiveState") == "active", unit, 40)
    assert manager.show(COORDINATOR, "StatusText") == "working"
    assert stack.ask("hello")["source"] == "backend"

    os.kill(int(manager.show(COORDINATOR, "MainPID")), signal.SIGSTOP)
    wait_until(lambda: manager.show(COORDINATOR, "NRestarts") == "1", "the end of the frozen coordinator", 40)
    wait_until(lambda: manager.show(COORDINATOR, "StatusText") == "working", "another coordinator", 40)
    assert stack.ask("hello again")["source"] == "backend"

    manager.run("stop", SECOND)
    assert manager.show(SECOND, "Result") == "success"
    manager.run("stop", "optimizer.target")
    for unit in (COORDINATOR, WORKER):
        wait_until(lambda unit=unit: manager.show(unit, "ActiveState") == "inactive", f"the end of {unit}", 40)
