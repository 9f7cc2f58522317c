"""The HTTP API over a history, a Redis and a RabbitMQ: what it says, who may ask, and what is missing."""

import time

import msgspec
import pytest
from tests.support.history_events import seed
from tests.support.served import TOKEN, configured, served
from tests.support.tap import Tap, shared_stack

from optimizer_ops.history.reader import History
from optimizer_state import flushes
from optimizer_state.store import Store


@pytest.fixture(scope="module")
def deployment(tmp_path_factory, amqp_url, redis_url):
    """A deployment with a history of nine days; flushes wait for no worker."""
    with (
        pytest.MonkeyPatch.context() as patch,
        shared_stack(tmp_path_factory.mktemp("api"), amqp_url, redis_url) as stack,
    ):
        patch.setattr(flushes, "AHEAD_MS", 1)
        config = configured(stack)
        seed(config.history_url, time.time(), requests=400)
        yield config


@pytest.fixture(scope="module")
def api(deployment):
    """The API of this deployment."""
    with served(deployment) as api:
        yield api


@pytest.fixture(scope="module")
def history(deployment):
    """The same history, read directly."""
    history = History.open(deployment.history_url)
    yield history
    history.close()


async def store_answers(config, **by_fingerprint):
    """Put answers into the cache as workers store them: fingerprint to task."""
    store = Store(config.redis_url, config.prefix)
    await store.synchronise_clock()
    for fingerprint, task in by_fingerprint.items():
        answer = {"ok": True, "leader": "r", "stored_ms": store.clock.now_ms(), "tenant": "default", "task": task}
        key = f"{config.prefix}:{{{fingerprint * 32}}}:answer"
        await store.command("SET", key, msgspec.msgpack.encode(answer | {"namespace": "", "result": "x"}), "PX", 60_000)
    await store.close()


@pytest.fixture(scope="module")
def every(history):
    """How many requests the history knows."""
    return history.totals(0).requests


def test_costs_are_those_of_the_history(api, history, every):
    """Costs by agent are the sums of the history in the order of cost, to the token."""
    answer = api.get("/api/costs?by=agent&since=30d")
    shares = history.shares("agent", answer["span"]["since"], answer["span"]["until"])

    assert [share["name"] for share in answer["shares"]] == [share.name for share in shares]
    assert [share["totals"]["input_tokens"] for share in answer["shares"]] == [s.totals.input_tokens for s in shares]
    assert answer["sums"]["totals"]["cost_usd"] == pytest.approx(sum(share.totals.cost_usd for share in shares))
    assert answer["sums"]["totals"]["requests"] == every
    costs = [share["totals"]["cost_usd"] for share in answer["shares"]]
    assert costs == sorted(costs, reverse=True)


def test_costs_of_one_agent(api, history):
    """A filter leaves only what it names."""
    name = history.shares("agent", 0)[0].name
    of_one = api.get(f"/api/costs?by=task&since=30d&agent={name}")["sums"]["totals"]
    of_all = api.get("/api/costs?by=agent&since=30d")["shares"][0]

    assert of_all["name"] == name
    assert of_one == of_all["totals"]


def test_report(api, every):
    """The report adds what was paid and what was saved, and names the most costly of each dimension."""
    report = api.get("/optimization/report?since=30d")
    totals = report["sums"]["totals"]

    assert totals["requests"] == every
    assert report["sums"]["saved_calls"] == totals["hits"] + totals["collapsed"]
    assert report["sums"]["hit_rate"] == pytest.approx(report["sums"]["saved_calls"] / every)
    assert report["without_usd"] == pytest.approx(totals["cost_usd"] + totals["saved_usd"])
    assert set(report["by"]) == {"agent", "backend", "model", "task", "tenant"}


def test_monitoring(api):
    """Timelines add up to the sums; the breaker of the configured backend is closed; its route leads there."""
    performance = api.get("/api/monitoring/performance?since=7d")
    cache = api.get("/api/monitoring/cache?since=7d")
    routing = api.get("/api/monitoring/routing?since=7d")
    breakers = api.get("/api/monitoring/circuit-breakers")

    for answer in (performance, cache):
        assert sum(p["totals"]["requests"] for p in answer["timeline"]) >= answer["sums"]["totals"]["requests"] > 0
        assert len(answer["timeline"]) <= 202
    assert routing["routes"] == {"default": ["alpha"]}
    assert [backend["name"] for backend in routing["backends"]] == ["alpha"]
    assert breakers["breakers"][0] | {"until": None} == {
        "backend": "alpha",
        "state": "closed",
        "failures": 0,
        "opens_at": 5,
        "until": None,
        "blocked_until": None,
        "blocked_reason": "",
    }


def test_pages_of_requests(api, history, every):
    """Pages follow one another without a gap or a repetition, and end."""
    seen, before = [], ""
    while before is not None:
        page = api.get(f"/api/requests?since=30d&limit=150{before and f'&before={before}'}")
        seen += [request["id"] for request in page["requests"]]
        before = page["next"]

    assert len(seen) == len(set(seen)) == every
    assert seen[0] == history.requests(0)[0].id


def test_trace(api):
    """A request's way has steps and a verdict; an unknown one is a 404, the beginning of several a 422."""
    slowest = api.get("/api/requests?since=30d&slowest=true&limit=1")["requests"][0]
    trace = api.get(f"/api/requests/{slowest['id']}/trace")

    assert trace["request"] == slowest
    assert trace["steps"]
    assert trace["verdict"]
    missing, several = (api.call("GET", f"/api/requests/{name}/trace") for name in ("nobody", "seed-0000"))
    assert (missing.status, missing.json["error"]["code"]) == (404, "not_found")
    assert (several.status, several.json["error"]["code"]) == (422, "invalid")


def test_agents_queues_and_alerts(api):
    """Agents are those of the history; queues name what is missing; alerts come with the problems of now."""
    assert len(api.get("/api/agents?since=30d")["agents"]) == 7
    queues = api.get("/api/queue-stats")
    assert {queue["role"] for queue in queues["queues"]} >= {"requests", "dead"}
    assert api.get("/api/alerts")["problems"]


def test_reset(api, every):
    """After a reset sums count from then on, `since` still shows all of it, and the reset can be taken back."""
    before = api.get("/optimization/report")
    reset = api.post("/api/monitoring/reset", {})["since"]
    after = api.get("/optimization/report")
    everything = api.get("/optimization/report?since=30d")
    cleared = api.post("/api/monitoring/reset", {"clear": True})

    assert before["span"]["chosen"] == "default"
    assert before["sums"]["totals"]["requests"] > 0
    assert abs(reset - time.time()) < 10
    assert after["span"] == {"since": reset, "until": after["span"]["until"], "chosen": "reset"}
    assert after["sums"]["totals"]["requests"] == 0
    assert everything["sums"]["totals"]["requests"] == every > 0
    assert cleared == {"since": None}
    assert api.get("/optimization/report")["span"]["chosen"] == "default"


async def test_flush(api, deployment):
    """What is meant is counted, removed and told as an event; what is stored is seen in the statistics."""
    await store_answers(deployment, a="code", b="code", c="long")
    with Tap(deployment.amqp_url, deployment.prefix) as tap:
        tasks = {part["name"]: part["answers"] for part in api.get("/optimization/cache-stats")["stored"]["by"]["task"]}
        counted = api.post("/api/cache/flush", {"what": {"task": "code"}, "dry_run": True})
        removed = api.post("/api/cache/flush", {"what": {"task": "code"}})
        told = tap.event("optimizer.cache.flushed")

    assert tasks == {"code": 2, "long": 1}
    assert counted["answers"] == removed["answers"] == 2
    assert told.fields["message"].startswith("the HTTP API on ")
    assert ": 2 answers were flushed: task code." in told.fields["message"]
    assert api.get("/optimization/cache-stats")["stored"]["by"]["task"] == [
        {"name": "long", "answers": 1, "memory_bytes": pytest.approx(200, abs=150)}
    ]
    assert api.post("/api/cache/flush", {"what": "all"})["answers"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/costs?by=colour", None, 422, "invalid"),
        ("GET", "/api/costs?sinc=7d", None, 422, "invalid"),
        ("GET", "/api/costs?since=7d&since=8d", None, 422, "invalid"),
        ("GET", "/api/costs?since=yesterday", None, 422, "invalid"),
        ("GET", "/api/costs?since=1h&until=2h", None, 422, "invalid"),
        ("GET", "/api/requests?limit=0", None, 422, "invalid"),
        ("GET", "/api/nothing", None, 404, "not_found"),
        ("DELETE", "/api/costs", None, 405, "method_not_allowed"),
        ("GET", "/api/cache/flush", None, 405, "method_not_allowed"),
        ("POST", "/api/cache/flush", b"{", 400, "bad_json"),
        ("POST", "/api/cache/flush", {}, 422, "invalid"),
        ("POST", "/api/cache/flush", {"what": {}}, 422, "invalid"),
        ("POST", "/api/cache/flush", {"what": {"colour": "red"}}, 422, "invalid"),
        ("POST", "/api/cache/flush", {"what": "all", "padding": "x" * 70_000}, 413, "too_large"),
    ],
)
def test_what_is_wrong_is_said(api, method, path, body, status, code):
    """Whatever is wrong is answered with its status, a code and a sentence, and nothing is done."""
    answer = api.call(method, path, body)

    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert answer.json["error"]["message"].endswith(".")
    assert "regex" not in answer.json["error"]["message"]


def test_only_json_is_taken(api):
    """A form, as another site could send it, is refused."""
    answer = api.call("POST", "/api/cache/flush", b"what=all", Content_Type="application/x-www-form-urlencoded")

    assert answer.status == 415


def test_changing_needs_the_token(api):
    """Nothing is flushed or reset without the token, or with a wrong one; reading from this machine needs none."""
    for wrong in ("", "Bearer nonsense", f"Basic {TOKEN}"):
        for path in ("/api/cache/flush", "/api/monitoring/reset"):
            answer = api.call("POST", path, {"what": "all"}, Authorization=wrong)
            assert (answer.status, answer.json["error"]["code"]) == (401, "unauthorized")
    assert api.call("GET", "/api/costs", Authorization="").status == 200


def test_under_another_name(api):
    """Asked for under a name that is not this machine's, it answers those with the token alone, and /health to all."""
    answers = {
        path: api.call("GET", path, Authorization="", Host="optimizer.example") for path in ("/api/costs", "/health")
    }

    assert answers["/api/costs"].status == 401
    assert answers["/health"].status == 200
    assert not any(part["message"] for part in answers["/health"].json["parts"].values())
    assert api.call("GET", "/api/costs", Host="optimizer.example").status == 200


def test_description_and_page(api):
    """The description is served, and a page shows every path of it without loading anything from elsewhere."""
    described = api.get("/openapi.json")
    page = api.call("GET", "/docs")

    assert described["openapi"].startswith("3.1")
    assert page.headers["content-type"].startswith("text/html")
    assert all(path in page.body.decode() for path in described["paths"])
    assert "://" not in page.body.decode().replace("http://127.0.0.1:8502", "")
    assert api.call("GET", "/metrics").body.startswith(b"# HELP")


@pytest.mark.parametrize(
    ("away", "paths"),
    [
        ("history", ("/api/costs", "/optimization/report", "/api/requests/x/trace", "/api/alerts")),
        ("redis", ("/optimization/cache-stats", "/api/monitoring/circuit-breakers")),
        ("rabbitmq", ("/api/queue-stats",)),
    ],
)
def test_a_service_is_away(tmp_path, amqp_url, redis_url, away, paths):
    """What needs a service that is away answers 503 with a sentence, /health names it, and the rest is answered."""
    wrong = {
        "history": {"OPTIMIZER_HISTORY_URL": f"sqlite:///{tmp_path / 'none.db'}"},
        "redis": {"OPTIMIZER_REDIS_URL": "redis://user:hidden-word@127.0.0.1:1/0"},
        "rabbitmq": {"OPTIMIZER_AMQP_URL": "amqp://guest:hidden-word@127.0.0.1:1/"},
    }
    with shared_stack(tmp_path, amqp_url, redis_url) as stack:
        config = configured(stack, **wrong[away])
        if away != "history":
            seed(config.history_url, time.time(), requests=10)
        with served(config) as api:
            refused = [api.call("GET", path) for path in paths]
            health = api.get("/health")
            flushed = api.call("POST", "/api/cache/flush", {"what": "all", "dry_run": True})

    for answer in refused:
        assert (answer.status, answer.json["error"]["code"]) == (503, "unavailable")
        assert b"hidden-word" not in answer.body
    assert health["status"] == "degraded"
    assert not health["parts"][away]["there"]
    assert health["parts"][away]["message"]
    assert "hidden-word" not in str(health)
    assert {"history", "redis", "rabbitmq"} - {n for n, part in health["parts"].items() if part["there"]} == {away}
    assert flushed.status == (503 if away == "redis" else 200)
