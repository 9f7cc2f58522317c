"""A whole deployment for a test: simulated backends, coordinators and workers as real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.judge import Call, read_log

START_S = 30.0
STOP_S = 35.0


def wait_until(condition, what: str, timeout_s: float = 15.0):
    """Wait for a condition; returns its first true value, fails with the name of what did not come."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {timeout_s:g} s")


@dataclass
class Running:
    """A process of ours and where it writes."""

    name: str
    process: subprocess.Popen
    output: Path

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def degraded(self) -> dict[str, str]:
        """What it does without, by its own word."""
        lines = (json.loads(line) for line in self.text().splitlines() if '"event": "admin"' in line)
        with urllib.request.urlopen(f"{next(lines)['url']}/readyz", timeout=10) as response:
            return json.load(response)["degraded"]

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self, timeout_s: float = STOP_S) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@dataclass
class Simulated:
    """A simulated backend: where it listens and the request log it writes."""

    name: str
    url: str
    log: Path
    running: Running

    def control(self, **patch: Any) -> None:
        """Change its script from now on: a merge patch of its spec."""
        request = urllib.request.Request(f"{self.url}/_control", json.dumps(patch).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as response:
            response.read()

    def judged(self) -> list[Call]:
        """The requests that reached it, with their ends, as the judge reads them."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [call for call in read_log(lines) if call.op != "models"]

    def calls(self) -> list[dict[str, Any]]:
        """The requests that reached it, by their start lines; a torn last line is left out."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = []
        for line in lines:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row["event"] == "start" and row["op"] != "models":
                found.append(row)
        return found


@dataclass
class Stack:
    """Starts and ends the processes of one test. Everything it starts has the test's own prefix."""

    folder: Path
    amqp_url: str
    redis_url: str
    prefix: str
    backends: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: dict[str, list[str]] = field(default_factory=dict)
    models: dict[str, list[str]] = field(default_factory=dict)
    extra: str = ""
    running: list[Running] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OPTIMIZER_")}
        return kept | {
            "OPTIMIZER_AMQP_URL": self.amqp_url,
            "OPTIMIZER_REDIS_URL": self.redis_url,
            "OPTIMIZER_PREFIX": self.prefix,
            "OPTIMIZER_CONFIG": str(self.folder / "optimizer.toml"),
            "OPTIMIZER_HISTORY_URL": f"sqlite:///{self.folder / 'history.db'}",
            "PYTHONUNBUFFERED": "1",
        }

    def launch(self, name: str, *arguments: str, environment: dict[str, str] | None = None) -> Running:
        output = self.folder / f"{name.replace('/', '-')}-{len(self.running)}.log"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=self.environment() | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        running = Running(name, process, output)
        self.running.append(running)
        return running

    def simulate(self, name: str, spec: dict[str, Any] | None = None, **backend: Any) -> Simulated:
        """Start a simulated backend and configure one of the same name; `backend` are its keys in optimizer.toml."""
        file, log = self.folder / f"{name}.json", self.folder / f"{name}.requests.jsonl"
        file.write_text(json.dumps({"name": name, **(spec or {})}))
        running = self.launch(
            f"simulator/{name}", "optimizer_ops.simulator", "--spec", str(file), "--port", "0", "--log", str(log)
        )
        line = wait_until(lambda: _url_line(running), f"the simulator {name}")
        api = backend.pop("api", "openai")
        base_url = line["url"] + ("/v1" if api == "openai" and not line["url"].endswith("/v1") else "")
        self.backends[name] = {"api": api, "base_url": base_url, "models": ["sim-model"], "kind": "local", **backend}
        self.routes.setdefault("default", []).append(name)
        return Simulated(name, line["url"], log, running)

    def configure(self) -> None:
        """Write optimizer.toml."""
        lines = [self.extra]
        for name, keys in self.backends.items():
            lines += [f"[backends.{name}]", *(f"{key} = {_toml(value)}" for key, value in keys.items()), ""]
        lines += ["[routes]", *(f"{task} = {_toml(names)}" for task, names in self.routes.items())]
        if self.models:
            lines += ["[models]", *(f"{alias} = {_toml(names)}" for alias, names in self.models.items())]
        (self.folder / "optimizer.toml").write_text("\n".join(lines))

    def coordinator(self, **environment: str) -> Running:
        return self.launch("coordinator", "optimizer_ops", "coordinator", environment=environment)

    def worker(self, backend: str, **environment: str) -> Running:
        return self.launch(f"worker/{backend}", "optimizer_ops", "worker", backend, environment=environment)

    def skewed_coordinator(self, ahead_s: float | str) -> Running:
        """A coordinator whose wall clock goes wrong by so much; see `tests.support.skewed`."""
        return self.launch("coordinator", "tests.support.skewed", str(ahead_s), "coordinator")

    def skewed_worker(self, backend: str, ahead_s: float | str) -> Running:
        """A worker whose wall clock goes wrong by so much; see `tests.support.skewed`."""
        return self.launch(f"worker/{backend}", "tests.support.skewed", str(ahead_s), "worker", backend)

    def start(self, coordinators: int = 1, workers: int = 1) -> "Stack":
        """Configure, start that many coordinators and workers for each backend, and wait until all are ready."""
        self.configure()
        started = [self.worker(name) for name in self.backends for _ in range(workers)]
        started += [self.coordinator() for _ in range(coordinators)]
        self.ready(*started)
        for coordinator in started[-coordinators:]:
            wait_until(
                lambda c=coordinator: set(self.backends) <= self.backends_seen(c), f"the workers, at {coordinator.name}"
            )
        return self

    def ready(self, *processes: Running) -> None:
        for process in processes:
            wait_until(lambda p=process: _is_ready(p), f"readiness of {process.name}", START_S)

    def backends_seen(self, coordinator: Running) -> set[str]:
        """The backends with a live worker, as a coordinator sees them: its view may be a second old."""
        admin = next(json.loads(line) for line in coordinator.text().splitlines() if '"event": "admin"' in line)
        with urllib.request.urlopen(f"{admin['url']}/metrics", timeout=5) as response:
            text = response.read().decode()
        return set(re.findall(r'^optimizer_coordinator_backend_alive\{backend="([^"]+)"\} 1\.0$', text, re.MULTILINE))

    def ask(self, prompt: str) -> dict[str, Any]:
        """The answer of `optimizer ask`."""
        done = subprocess.run(
            [sys.executable, "-m", "optimizer_ops", "ask", prompt, "--json", "--timeout", "30"],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def close(self) -> None:
        """End everything that still runs."""
        for running in self.running:
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGTERM)
        for running in self.running:
            try:
                running.process.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()


def _is_ready(running: Running) -> bool:
    if running.process.poll() is not None:
        raise AssertionError(f"{running.name} left with code {running.process.returncode}:\n{running.text()}")
    return '"event": "ready"' in running.text()


def _url_line(running: Running) -> dict[str, Any] | None:
    if running.process.poll() is not None:
        raise AssertionError(f"{running.name} left with code {running.process.returncode}:\n{running.text()}")
    for line in running.text().splitlines():
        if line.startswith("{") and '"url"' in line:
            return json.loads(line)
    return None


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
