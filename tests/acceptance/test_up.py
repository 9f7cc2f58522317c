"""`optimizer up` and `optimizer ask`: a deployment of one machine by two commands."""

import json
import subprocess
import sys
import urllib.request

import psutil
from tests.support.stack import Stack, wait_until


def test_up_serves_restarts_and_stops(stack: Stack):
    """`optimizer up` serves what the configuration names, restarts what dies, and ends everything on SIGTERM."""
    stack.simulate("alpha")
    stack.configure()
    up = stack.launch("up", "optimizer_ops", "up", "--bare", "--coordinators", "1")
    wait_until(lambda: up.text().count('"event": "ready"') >= 2, "a coordinator and a worker", 30)
    first = stack.ask("hello")
    children = psutil.Process(up.process.pid).children()
    worker = next(child for child in children if "worker" in child.cmdline())
    worker.kill()
    wait_until(lambda: up.text().count('"event": "ready"') >= 3, "another worker", 30)
    second = stack.ask("hello again")

    code = up.stop()

    assert first["source"] == second["source"] == "backend"
    assert code == 0
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_up_keeps_a_history_and_shows_it(stack: Stack):
    """With recorder and dashboard, what was asked is in the history and on a page a moment later."""
    stack.simulate("alpha")
    stack.configure()
    up = stack.launch("up", "optimizer_ops", "up", "--coordinators", "1", "--dashboard-port", "0")
    wait_until(lambda: up.text().count('"event": "ready"') >= 4, "coordinator, worker, recorder and dashboard", 40)
    stack.ask("hello")
    ready = next(line for line in up.text().splitlines() if '"component": "dashboard"' in line and "ready" in line)
    url = json.loads(ready[ready.index("{") :])["url"]

    def asked() -> int:
        with urllib.request.urlopen(f"{url}/api/agents", timeout=10) as response:
            return sum(
                agent["totals"]["requests"] for agent in json.load(response)["agents"] if agent["agent"] == "cli"
            )

    wait_until(lambda: asked() == 1, "the request in the history", 20)
    assert up.stop() == 0


def test_up_without_any_backend_says_what_to_do(stack: Stack):
    """With no key and no backend configured `optimizer up` says what to set, with the exit code for configuration."""
    (stack.folder / "optimizer.toml").write_text("")
    keys = dict.fromkeys(("GROQ_API_KEY", "CEREBRAS_API_KEY", "MISTRAL_API_KEY", "GEMINI_API_KEY"), "")
    up = stack.launch("up", "optimizer_ops", "up", environment=keys)

    assert up.process.wait(30) == 78
    assert "no backend can be served" in up.text()


def test_ask_tells_errors_in_one_line(stack: Stack):
    """`optimizer ask` prints a typed error as one line and returns 1."""
    stack.simulate("alpha")
    stack.start()
    done = subprocess.run(
        [sys.executable, "-m", "optimizer_ops", "ask", "x", "--model", "alpa"],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("optimizer: unknown_model: ")
    assert done.stderr.count("\n") == 1


def test_ask_without_rabbitmq_says_so(stack: Stack):
    """Without RabbitMQ `optimizer ask` names the address that does not answer, within seconds, and returns 69."""
    stack.configure()
    done = subprocess.run(
        [sys.executable, "-m", "optimizer_ops", "ask", "x"],
        env=stack.environment() | {"OPTIMIZER_AMQP_URL": "amqp://guest:secret@127.0.0.1:1/"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 69
    assert "127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr


def test_ask_without_a_coordinator_says_so(stack: Stack):
    """With RabbitMQ there and no coordinator, the error at the deadline says that none is running."""
    stack.simulate("alpha")
    stack.start()
    for running in stack.running:
        running.stop()
    done = subprocess.run(
        [sys.executable, "-m", "optimizer_ops", "ask", "x", "--timeout", "2"],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "no coordinator is running" in done.stderr
