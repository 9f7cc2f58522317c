"""The deployment in containers, really run: `make test-compose`. The tests are the days of one deployment, in order."""

import json
import subprocess
import urllib.request
from contextlib import suppress

import pytest
from tests.compose.stack import eventually

from optimizer_client import Optimizer, Reply

pytestmark = pytest.mark.compose

_METRICS = """
import urllib.request
token = open("/run/secrets/admin_token").read().strip()
request = urllib.request.Request("http://127.0.0.1:9100/metrics", headers={"Authorization": f"Bearer {token}"})
print(urllib.request.urlopen(request).read().decode())
"""


def requests_in(costs):
    """How many requests the history has, of what `/api/costs` said."""
    return costs["sums"]["totals"]["requests"]


def test_everything_is_healthy(stack, say):
    """Coordinators, worker, recorder, dashboard, servers: each container runs and says that it can do its work."""
    say("looking at every container")
    states = {each["Name"]: each["State"]["Health"]["Status"] for each in stack.containers()}

    assert len(states) == 8
    assert set(states.values()) == {"healthy"}
    assert {part["there"] for part in stack.page("/health")["parts"].values()} == {True}


def test_no_container_may_more_than_it_needs(stack, say):
    """In each one the first process is no root, has no capability and can gain none, and writes to volumes alone."""
    say("trying what containers may")
    for each in stack.containers():
        status = stack.engine.run("exec", each["Id"], "cat", "/proc/1/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        denied = stack.engine.run("exec", each["Id"], "sh", "-c", "touch /etc/x /usr/x /x 2>&1 || true")

        assert "0" not in fields["Uid"].split(), each["Name"]
        assert set(fields["CapEff"]) == {"0"}, each["Name"]
        assert fields["NoNewPrivs"] == "1", each["Name"]
        assert denied.count("Read-only file system") == 3, each["Name"]


def test_keys_are_in_no_environment(stack, say):
    """What `docker inspect` shows to everyone of the docker group holds no secret."""
    say("looking for secrets where they must not be")
    secrets = [stack.secret(name) for name in ("admin_token", "amqp_url", "postgres_password")]
    password = stack.secret("amqp_url").split(":")[2].partition("@")[0]

    shown = json.dumps(stack.containers()) + stack.compose("logs", "--no-color")

    assert [secret for secret in (*secrets, password) if secret in shown] == []


def test_a_question_is_answered_and_seen_in_the_dashboard(stack, say):
    """Asked inside a container; its request and its agent are in the history seconds later."""
    say("asking a question")
    stack.optimizer("ask", "--agent", "quality", "Why is the sky blue?")

    agents = eventually(lambda: stack.page("/api/agents")["agents"], lambda found: found)

    assert [(agent["agent"], agent["totals"]["answered"]) for agent in agents] == [("quality", 1)]
    assert requests_in(stack.page("/api/costs")) == 1


def test_an_agent_on_this_machine_asks_through_the_published_port(stack, say):
    """With the login that setup.sh has made, and no other."""
    say("asking from outside of the containers")
    inside = stack.secret("amqp_url")
    outside = inside.replace("@rabbitmq:5672", f"@127.0.0.1:{stack.ports['RABBITMQ']}")

    with Optimizer("outside", url=outside) as optimizer:
        reply = optimizer.chat("Why is the sea salty?", timeout=30)

    assert reply.backend == "simulated"


def test_a_second_worker_shares_the_budget(stack, say):
    """Scaled to two, both live, both make calls, and the limits are those of the backend, not of each."""
    say("docker compose up --scale worker-simulated=2")
    before = json.loads(stack.optimizer("budgets", "--json"))["backends"][0]
    stack.up("--no-recreate", "--scale", "worker-simulated=2")
    two = eventually(
        lambda: json.loads(stack.optimizer("budgets", "--json"))["backends"][0], lambda seen: seen["workers"] == 2
    )
    say("asking 40 questions")
    url = stack.secret("amqp_url").replace("@rabbitmq:5672", f"@127.0.0.1:{stack.ports['RABBITMQ']}")
    with Optimizer("many", url=url) as optimizer:
        replies = optimizer.chat_many([f"What is {number} squared?" for number in range(40)], timeout=60)
    after = json.loads(stack.optimizer("budgets", "--json"))["backends"][0]
    calls = [sum(calls_of(stack, index)) for index in (1, 2)]

    assert {type(reply) for reply in replies} == {Reply}
    assert [limit["count"] for limit in two["limits"]] == [limit["count"] for limit in before["limits"]]
    assert sum(calls) == 42
    assert min(calls) > 0
    assert used(after, "rpm") <= sum(calls)
    assert used(after, "rpm") >= 40


def calls_of(stack, index):
    """What one of the workers counted of its calls."""
    words = ("exec", "--no-TTY", "--index", str(index), "worker-simulated", "python3", "-c", _METRICS)
    lines = stack.compose(*words).splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith("optimizer_calls_total{")]


def used(backend, name):
    """What counts in the window of a limit now."""
    return next(limit["used"] for limit in backend["limits"] if limit["name"] == name)


def test_prometheus_finds_every_process(stack, say):
    """Both workers and both coordinators too, with the token; and our rules are loaded."""
    say("docker compose up prometheus")
    stack.up("--no-recreate", "prometheus")

    def ask(path):
        with urllib.request.urlopen(
            f"http://127.0.0.1:{stack.ports['PROMETHEUS']}/api/v1/{path}", timeout=10
        ) as answer:
            return json.load(answer)["data"]

    up = eventually(
        lambda: sorted(
            (each["metric"].get("process", "rabbitmq"), each["value"][1]) for each in ask("query?query=up")["result"]
        ),
        lambda found: len(found) == 7,
    )
    names = ["coordinator", "coordinator", "dashboard", "rabbitmq", "recorder", "worker", "worker"]

    assert up == [(name, "1") for name in names]
    assert {rule["health"] for group in ask("rules")["groups"] for rule in group["rules"]} <= {"ok", "unknown"}


def test_what_is_killed_comes_back(stack, say):
    """A container whose process dies is started again, and the history is still there."""
    say("killing the recorder's and a coordinator's process")
    before = requests_in(stack.page("/api/costs"))
    ids = [stack.compose("ps", "--quiet", name).split()[0] for name in ("recorder", "coordinator")]
    pids = [json.loads(stack.engine.run("inspect", each))[0]["State"]["Pid"] for each in ids]
    for each in ids:
        with suppress(subprocess.CalledProcessError):  # it dies itself
            stack.engine.run("exec", each, "sh", "-c", "kill -9 -1")
    eventually(
        lambda: [json.loads(stack.engine.run("inspect", each))[0]["State"] for each in ids],
        lambda seen: all(
            state["Pid"] not in {0, pid} and state["Health"]["Status"] == "healthy"
            for state, pid in zip(seen, pids, strict=True)
        ),
        120.0,
    )

    stack.optimizer("ask", "--agent", "quality", "Why is the grass green?")

    eventually(lambda: requests_in(stack.page("/api/costs")), lambda seen: seen == before + 1)


def test_the_history_moves_to_postgresql(stack, say):
    """After setup.sh with that profile, new requests are in PostgreSQL, and the dashboard shows them."""
    say("setup.sh simulate postgres; docker compose up")
    stack.setup("simulate", "postgres")
    stack.up("--force-recreate", "recorder", "dashboard")
    stack.optimizer("ask", "--agent", "quality", "Why is the snow white?")

    eventually(lambda: requests_in(stack.page("/api/costs")), lambda seen: seen == 1)
    words = ("psql", "--host", "/var/run/postgresql", "--username", "optimizer", "--tuples-only", "--no-align")
    environ = ("sh", "-c", f'PGPASSWORD=$(cat /run/secrets/postgres_password) {" ".join(words)} -c "select version()"')
    assert "PostgreSQL 18" in stack.compose("exec", "--no-TTY", "postgres", *environ)
