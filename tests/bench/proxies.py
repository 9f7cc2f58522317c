"""Proxies of others in front of a backend, started as their manuals say, for as long as they are measured."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.backend import MODEL
from tests.support.stack import wait_until

from optimizer_ops.services.processes import free_port

PYTHON = "OPTIMIZER_BENCH_PYTHON"
START_S = 90.0
LITELLM, HIVEMIND = "LiteLLM's proxy", "hivemind-scheduler"
PROGRAMS = {LITELLM: "litellm", HIVEMIND: "hivemind-proxy"}

# No option of it says how many requests a backend takes.
_UNLIMITED = """
from hivemind.proxy.server import main
from hivemind.scheduler.rate_limiter import RateLimiter
RateLimiter.configure_from_profile = lambda limiter, profile: None
main()
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy: where it serves the OpenAI API, and the key that it wants."""

    url: str
    key: str
    pid: int


@contextmanager
def litellm(
    folder: Path, backend_url: str, *, rpm: int | None = None, timeout_s: float = 60.0, cached: bool = False
) -> Iterator[Proxy]:
    """LiteLLM's proxy, which keeps a limit per minute and retries; or one with its cache in memory."""
    params: dict[str, Any] = {"model": f"openai/{MODEL}", "api_base": f"{backend_url}/v1", "api_key": "k"}
    settings: dict[str, Any] = {
        "model_list": [{"model_name": MODEL, "litellm_params": params if rpm is None else {**params, "rpm": rpm}}],
        "router_settings": {"num_retries": 3, "timeout": timeout_s},
    }
    if cached:
        settings["litellm_settings"] = {"cache": True, "cache_params": {"type": "local"}}
    config = folder / "litellm.yaml"
    config.write_text(json.dumps(settings))  # JSON is YAML.
    port, key = free_port(), f"sk-{uuid.uuid4().hex}"
    command = [program(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with _serving(folder, command, f"{url}/health/liveliness", key) as pid:
        yield Proxy(f"{url}/v1", key, pid)


@contextmanager
def hivemind(folder: Path, backend_url: str, *, concurrency: int, unlimited: bool = False) -> Iterator[Proxy]:
    """The proxy of hivemind-scheduler, with the 60 requests per minute that it takes for any backend, or without."""
    port = free_port()
    started = [str(Path(program(HIVEMIND)).with_name("python")), "-c", _UNLIMITED] if unlimited else [program(HIVEMIND)]
    command = [*started, "--host", "127.0.0.1", "--port", str(port), "--upstream", backend_url]
    command += ["--max-concurrency", str(concurrency), "--db", str(folder / "hivemind.db")]
    with _serving(folder, command, f"http://127.0.0.1:{port}/") as pid:
        yield Proxy(f"http://127.0.0.1:{port}/v1", "k", pid)


def missing(proxy: str) -> str | None:
    """A sentence about why this proxy cannot be measured here."""
    if program(proxy):
        return None
    name = PROGRAMS[proxy]
    return f"{proxy} is not measured: no {name} on the PATH, in {_variable(name)}, or beside the Python in {PYTHON}."


def program(proxy: str) -> str:
    """The path of its program, or nothing."""
    name = PROGRAMS[proxy]
    beside = str(Path(os.environ[PYTHON]).parent) if os.environ.get(PYTHON) else None
    return os.environ.get(_variable(name)) or shutil.which(name) or (beside and shutil.which(name, path=beside)) or ""


def _variable(name: str) -> str:
    return f"OPTIMIZER_BENCH_{name.replace('-', '_').upper()}"


@contextmanager
def _serving(folder: Path, command: list[str], url: str, key: str = "") -> Iterator[int]:
    """A program from its start until it answers HTTP, to its end."""
    output = folder / f"{Path(command[0]).name}.log"
    ours = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": key, "NO_PROXY": "127.0.0.1"}
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command, env=os.environ | ours, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )

    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"{command[0]} ended:\n{output.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    try:
        wait_until(answers, f"{command[0]} ({output})", START_S)
        yield process.pid
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait(10)
