"""Users with the rights that `optimizer permissions` prints: enough for the whole line, and too little for harm."""

import asyncio
import contextlib
import re
import shlex
import uuid
from itertools import groupby

import pika
import pytest
import redis
from tests.support.dashboard import TOKEN, Dashboard, launch
from tests.support.guarded import Intruder, RawAgent, guarded_broker
from tests.support.leftovers import delete_keys
from tests.support.stack import Stack, wait_until
from tests.support.tap import Tap
from typer.testing import CliRunner

from optimizer_client import AsyncOptimizer, NotFoundError, Optimizer, Status
from optimizer_config.load import load
from optimizer_coordinator.sending_back import RECEIVED, SENDER
from optimizer_ops.cli import app
from optimizer_ops.event_monitor import monitor
from optimizer_ops.topology_check import check
from optimizer_wire.broker_errors import NotDeclared, NotPermitted
from optimizer_wire.errors import OptimizerUnavailable
from optimizer_wire.messages import CANCEL_TYPE, FETCH_TYPE, Priority
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, backend_topology, reply_queue, shared_topology

USERS = """
[users.anna]
role = "agent"
tenant = "acme"
agents = ["quality", "qa-*"]
[users.bert]
role = "agent"
tenant = "acme"
[users.dora]
role = "agent"
tenant = "acme"
agents = ["quality"]
[users.carl]
role = "agent"
tenant = "other"
agents = ["quality"]
[users."anna.x"]
role = "agent"
[users.hub]
role = "coordinator"
[users.alpha-worker]
role = "worker"
backends = ["alpha"]
[users.beta-worker]
role = "worker"
backends = ["beta"]
[users.book]
role = "recorder"
[users.desk]
role = "dashboard"
[users.board]
role = "observer"
[users.cache-board]
role = "observer"
events = ["optimizer.cache.*"]
"""
REFUSED = "ACCESS_REFUSED"


@pytest.fixture(scope="module")
def line(_private_rabbitmq, redis_url, tmp_path_factory):
    """A coordinator and the workers of alpha, each as its own user; beta has queues and no worker."""
    folder = tmp_path_factory.mktemp("rights")
    stack = Stack(folder, "", redis_url, f"t-{uuid.uuid4().hex[:12]}", extra=USERS)
    stack.extra = f'prefix = "{stack.prefix}"\n{USERS}'
    stack.alpha = stack.simulate("alpha")
    stack.backends["beta"] = {"api": "openai", "base_url": "http://127.0.0.1:9", "models": ["m"], "kind": "local"}
    stack.configure()
    with guarded_broker(_private_rabbitmq.start(), folder / "optimizer.toml") as broker:
        stack.broker, stack.names = broker, Names(stack.prefix)
        try:
            hub = stack.coordinator(OPTIMIZER_AMQP_URL=broker.url("hub"))
            worker = stack.worker("alpha", OPTIMIZER_AMQP_URL=broker.url("alpha-worker"))
            stack.ready(hub, worker)
            yield stack
        finally:
            stack.close()
            delete_keys(redis_url, stack.prefix)


@pytest.fixture
def intruder(line):
    """Whoever tries things, as a user: `intruder("bert").try_to("basic_get", queue)`."""
    with contextlib.ExitStack() as opened:
        yield lambda user: opened.enter_context(contextlib.closing(Intruder(line.broker.url(user))))


@pytest.fixture
def raw(line):
    """A user who says what it likes: `raw("bert").send("boss", "Hello")`."""
    with contextlib.ExitStack() as opened:

        def agent(user):
            return opened.enter_context(contextlib.closing(RawAgent(line.broker.url(user), line.names, user)))

        yield agent


@pytest.fixture
def tap(line):
    """Sees all events, all dead letters, and what comes to queues that others would like to reach."""
    with Tap(line.broker.admin_url, line.prefix) as tap:
        yield tap


def client(line, user, agent):
    return AsyncOptimizer(agent, url=line.broker.url(user), prefix=line.prefix)


async def test_the_whole_line(line):
    """A question is answered through a client, a coordinator and a worker that have the rights of their roles only."""
    async with client(line, "anna", "quality") as optimizer:
        reply = await optimizer.chat("Does it work?", timeout=20)
    assert (reply.backend, reply.source) == ("alpha", "backend")

    def ask():
        with Optimizer("qa-2", url=line.broker.url("anna"), prefix=line.prefix) as optimizer:
            return optimizer.chat("Does it work?", timeout=20)

    assert (await asyncio.to_thread(ask)).source == "cache"


# --- what RabbitMQ refuses


@pytest.mark.parametrize("user", ["anna", "carl", "anna.x"])
def test_an_agent_cannot_reach_what_is_not_its_own(line, intruder, user):
    """Another's replies, the requests, calls, dead letters and events can be neither read nor changed by an agent."""
    bert, names = intruder("bert"), line.names
    theirs = names.reply_queue(user, "1")
    with contextlib.closing(Intruder(line.broker.url(user))) as owner:
        queue = reply_queue(theirs)
        assert owner.try_to("queue_declare", theirs, durable=True, arguments=queue.arguments) == "done"
        for name in (
            theirs,
            names.requests,
            names.dead,
            names.kept,
            f"{names.calls}.alpha.batch",
            f"{names.calls}.beta.batch",
        ):
            assert bert.try_to("basic_get", name) == REFUSED
            assert bert.try_to("basic_consume", name, lambda *_: None) == REFUSED
            assert bert.try_to("queue_purge", name) == REFUSED
            assert bert.try_to("queue_delete", name) == REFUSED
            assert bert.try_to("queue_declare", name, durable=True, arguments=queue.arguments) == REFUSED
        assert owner.try_to("queue_delete", theirs) == "done"
    for exchange in (names.requests, names.calls, names.events, names.journal, names.dead):
        assert bert.try_to("exchange_delete", exchange) == REFUSED


def test_an_agent_cannot_bind(line, intruder):
    """An agent gets no copy of requests, calls, dead letters or events: its queue cannot be bound to any of them."""
    bert, names = intruder("bert"), line.names
    own = names.reply_queue("bert", "trap")
    assert bert.try_to("queue_declare", own, durable=True) == "done"

    for exchange in (names.requests, names.calls, names.events, names.journal, names.dead, "amq.topic", "amq.direct"):
        assert bert.try_to("queue_bind", own, exchange, "#") == REFUSED
    assert bert.try_to("queue_delete", own) == "done"
    for dead_letters in ("", names.calls, names.events, names.journal, names.dead):
        more = {"x-dead-letter-exchange": dead_letters}
        assert bert.try_to("queue_declare", own, durable=True, arguments=more) == REFUSED


def test_an_agent_cannot_publish_anything_but_requests(line, intruder):
    """An agent can publish no calls, replies, events or dead letters, neither by an exchange nor by a queue's name."""
    bert, names = intruder("bert"), line.names

    assert bert.try_to("basic_publish", names.requests, "elsewhere", b"x", mandatory=True) == "done"
    for exchange, key in (
        ("", names.reply_queue("anna", "1")),
        ("", names.requests),
        ("", f"{names.calls}.alpha.batch"),
        (names.calls, "alpha.batch"),
        (names.events, "optimizer.cache.hit"),
        (names.journal, ""),
        (names.dead, ""),
        ("amq.topic", "x"),
    ):
        assert bert.try_to("basic_publish", exchange, key, b"x", mandatory=True) == REFUSED


def test_nobody_can_forge_a_user(line, intruder):
    """RabbitMQ takes no message that names another user than the one that is logged in, whoever that is."""
    names = line.names
    for user in ("bert", "alpha-worker", "hub"):
        exchange = names.requests if user == "bert" else names.calls
        forged = pika.BasicProperties(user_id="anna")
        assert intruder(user).try_to("basic_publish", exchange, "k", b"x", forged) == "PRECONDITION_FAILED"


def test_a_worker_reads_the_calls_of_its_backend_only(line, intruder):
    """A worker of one backend cannot read another's calls, nor have them copied to a queue of its own."""
    worker, names = intruder("beta-worker"), line.names

    assert worker.try_to("basic_get", f"{names.calls}.beta.batch") == "done"
    for name in (f"{names.calls}.alpha.batch", names.requests, names.dead, names.reply_queue("anna", "1")):
        assert worker.try_to("basic_get", name) == REFUSED
        assert worker.try_to("queue_delete", name) == REFUSED
    own = f"{names.self_checks}x"
    assert worker.try_to("queue_declare", own, exclusive=True) == "done"
    for exchange in (names.calls, names.requests, names.events, names.journal):
        assert worker.try_to("queue_bind", own, exchange, "#") == REFUSED
    assert worker.try_to("queue_bind", f"{names.calls}.beta.batch", names.calls, "alpha.batch") == REFUSED


def test_an_observer_hears_what_it_was_given_and_says_nothing(line, intruder):
    """An observer can bind its own queues by the patterns it was given, by no wider ones, and publish nowhere."""
    board, names = intruder("cache-board"), line.names
    own = names.event_queue("cache-board", "1")
    assert board.try_to("queue_declare", own, exclusive=True) == "done"

    assert board.try_to("queue_bind", own, names.events, "optimizer.cache.#") == "done"
    for key in ("#", "optimizer.#", "*.cache.#", "optimizer.*.hit", "optimizer.call.started", ""):
        assert board.try_to("queue_bind", own, names.events, key) == REFUSED
    for exchange, key in (
        (names.events, "optimizer.x"),
        (names.journal, ""),
        (names.requests, names.requests),
        ("", names.requests),
    ):
        assert board.try_to("basic_publish", exchange, key, b"x", mandatory=True) == REFUSED
    assert board.try_to("queue_declare", names.event_queue("board", "1"), exclusive=True) == REFUSED
    assert board.try_to("queue_bind", own, names.journal, "optimizer.cache.hit") == REFUSED
    assert board.try_to("basic_get", names.requests) == REFUSED


# --- what coordinators refuse


@pytest.mark.parametrize("agent", ["quality", "qa-1", "bert2", "BERT", "anna", "hub"])
def test_a_forged_agent_is_refused(raw, tap, agent):
    """Who asks in another's name is told so and gets no answer; the event does not repeat the name."""
    bert = raw("bert")
    request = bert.send(agent, "Who am I?")

    reply = bert.answer()
    assert (reply["id"], reply["error"]["code"], reply.get("result")) == (request, "unauthorized", None)
    told = tap.event("optimizer.error").fields
    assert (told["request_id"], told.get("agent")) == (request, None)


def test_a_tenant_in_the_message_is_ignored(raw, tap):
    """Which tenant somebody belongs to is said by the configuration, whatever the message says."""
    carl = raw("carl")
    carl.send("quality", uuid.uuid4().hex, tenant="acme", user="anna", properties={"headers": {"tenant": "acme"}})

    assert carl.answer()["ok"]
    assert tap.event("optimizer.cache.miss").fields["tenant"] == "other"


def test_nobody_sends_back_in_the_name_of_a_coordinator(raw, tap):
    """What coordinators write into a request that they send back is believed of nobody else."""
    anna, bert = raw("anna"), raw("bert")
    headers = {SENDER: "anna", RECEIVED: "1000000000000"}
    request = bert.send("quality", "Hello", properties={"headers": headers, "reply_to": anna.reply_to})

    told = tap.event("optimizer.error").fields
    assert (told["request_id"], told["error_code"]) == (request, "unauthorized")
    assert anna.answer(0.1) is None


def test_a_message_without_a_user_is_not_answered(raw, tap, line):
    """Without a user nobody is answered, so that nobody can be sent errors in the name of the optimizer."""
    anna, bert = raw("anna"), raw("bert")
    request = bert.send("quality", "Hello", properties={"user_id": None, "reply_to": anna.reply_to})

    assert tap.event("optimizer.error").fields["request_id"] == request
    assert anna.answer(0.1) is None
    assert tap.dead() is not None


@pytest.mark.parametrize(
    "address",
    ["{other}", "{prefix}.replies.bert.1.2", "{prefix}.replies.bert.", "{prefix}.requests", "{prefix}.replies.*.1", ""],
)
def test_a_crafted_reply_address_is_refused(raw, tap, line, address):
    """Replies go to no queue but the sender's own, and a request that names another makes no call."""
    anna, bert = raw("anna"), raw("bert")
    before = len(line.alpha.calls())
    reply_to = address.format(other=anna.reply_to, prefix=line.prefix)
    request = bert.send("bert", uuid.uuid4().hex, properties={"reply_to": reply_to})

    assert tap.event("optimizer.error").fields["request_id"] == request
    assert (anna.answer(0.1), bert.answer(0), len(line.alpha.calls())) == (None, None, before)


# --- what is nobody else's


@pytest.fixture
def slow(line):
    """While alpha takes its time for every answer, requests of a test meet in flight."""
    line.alpha.control(latency={"base_s": 0.5})
    yield
    line.alpha.control(latency={"base_s": 0.0})


@pytest.mark.usefixtures("slow")
def test_tenants_share_nothing(raw, line, tap):
    """The same question of two tenants at the same time is two flights and two calls; a tenant shares one."""
    question, before = uuid.uuid4().hex, len(line.alpha.calls())
    anna, bert, carl = raw("anna"), raw("bert"), raw("carl")
    asked = [anna.send("quality", question), bert.send("bert", question), carl.send("quality", question)]

    replies = [agent.answer() for agent in (anna, bert, carl)]
    assert [reply["id"] for reply in replies] == asked
    assert sorted(reply.get("source", "backend") for reply in replies[:2]) == ["backend", "collapsed"]
    assert replies[2].get("source", "backend") == "backend"
    assert len(line.alpha.calls()) == before + 2
    flights: dict[str, set[str]] = {}
    for event in tap.events():
        if event.fields.get("request_id") in asked:
            flights.setdefault(event.fields["tenant"], set()).add(event.fields["fingerprint"])
    assert {tenant: len(each) for tenant, each in flights.items()} == {"acme": 1, "other": 1}
    assert not flights["acme"] & flights["other"]


def test_agents_share_nothing_in_their_own_scope(raw, line):
    """With scope = "agent" another agent of the tenant gets no answer from it, and cannot name the one who does."""
    question, before = uuid.uuid4().hex, len(line.alpha.calls())
    mine = {"cache": {"scope": "agent"}}
    anna, bert = raw("anna"), raw("bert")
    anna.send("quality", question, **mine)
    assert anna.answer()["ok"]

    bert.send("bert", question, **mine)
    assert bert.answer().get("source", "backend") == "backend"
    bert.send("quality", question, **mine)
    assert bert.answer()["error"]["code"] == "unauthorized"
    anna.send("quality", question, **mine)
    assert anna.answer()["source"] == "cache"
    assert len(line.alpha.calls()) == before + 2


@pytest.mark.parametrize(
    "namespace",
    ["acme", "other", '","chat","auto', "}:answer", "\\n", "\x00", "{x}", "*", "public", "tenant:acme", "a" * 200],
)
def test_a_crafted_namespace_is_a_name_like_any_other(raw, line, namespace):
    """A namespace, however it is written, meets no answer of another one or another tenant, and makes no other key."""
    question = f"which namespace? {line.prefix}"
    anna, carl = raw("anna"), raw("carl")
    anna.send("quality", question)
    assert anna.answer()["ok"]

    for agent in (anna, carl):
        agent.send("quality", question, cache={"namespace": namespace})
        assert agent.answer().get("source", "backend") == "backend"
    with redis.Redis.from_url(line.redis_url) as store:
        keys = [key.decode() for key in store.scan_iter(f"{line.prefix}:*:answer")]
    assert all(re.fullmatch(rf"{line.prefix}:\{{[0-9a-f]{{32}}\}}:answer", key) for key in keys)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("early", [True, False])
def test_nobody_cancels_for_others(raw, early):
    """Who knows the id and the text of another's request cannot cancel it, neither before it comes nor later."""
    question, request = uuid.uuid4().hex, uuid.uuid4().hex
    anna, bert = raw("anna"), raw("bert")

    def cancel():
        bert.send("bert", question, kind=CANCEL_TYPE, id=request)
        # Handled in order: when this is refused, the coordinator has read what came before it.
        bert.send("boss", "a mark")
        assert bert.answer()["error"]["code"] == "unauthorized"

    if early:
        cancel()
    anna.send("quality", question, id=request)
    if not early:
        cancel()
    assert anna.answer()["ok"]


@pytest.mark.usefixtures("slow")
def test_nobody_supersedes_for_others(raw):
    """Who knows the ordering key of another user of its tenant waits behind that one's requests, and cancels none."""
    anna, bert, key = raw("anna"), raw("bert"), uuid.uuid4().hex
    asked = [anna.send("quality", f"{turn} {key}", ordering_key=key) for turn in ("first", "second")]
    bert.send("bert", f"instead {key}", ordering_key=key, supersede=True)

    replies = {reply["id"]: reply["ok"] for reply in (anna.answer(), anna.answer())}
    assert replies == dict.fromkeys(asked, True)
    assert bert.answer()["ok"]


@pytest.mark.parametrize(("user", "agent"), [("bert", "bert"), ("dora", "quality"), ("carl", "quality")])
def test_nobody_gets_an_answer_by_its_id(raw, line, user, agent):
    """Who knows the id of another user's request does not get its answer, whatever it asks and whomever it may name."""
    anna, other = raw("anna"), raw(user)
    request, before = uuid.uuid4().hex, len(line.alpha.calls())
    anna.send("quality", f"a secret {request}", id=request, cache={"mode": "off"})
    secret = anna.answer()["result"]

    other.send(agent, f"not the secret {request}", id=request, cache={"mode": "off"})
    told = other.answer()["result"]
    assert _text(told) != _text(secret)
    other.send(agent, f"another question {request}", id=request)
    assert other.answer().get("source", "backend") == "backend"
    assert len(line.alpha.calls()) == before + 3


def _text(result):
    return result["choices"][0]["message"]["content"]


# --- processes that may not do everything


def test_a_recorder_records(line, intruder):
    """A recorder works with its rights, tells of alerts, and cannot read what agents ask."""
    recorder = line.launch(
        "recorder", "optimizer_ops", "recorder", environment={"OPTIMIZER_AMQP_URL": line.broker.url("book")}
    )
    line.ready(recorder)
    assert recorder.stop() == 0
    assert "ACCESS_REFUSED" not in recorder.text()
    assert intruder("book").try_to("basic_get", line.names.requests) == REFUSED


async def test_a_dashboard_shows(line, intruder):
    """A dashboard hears events, sees every queue, lists dead letters and steers with its rights, and reads no calls."""
    shown = await asyncio.to_thread(lambda: Dashboard(launch(line, OPTIMIZER_AMQP_URL=line.broker.url("desk"))))
    shown.headers["Authorization"] = f"Bearer {TOKEN}"
    log = shown.running.text
    await asyncio.to_thread(wait_until, lambda: '"listening"' in log(), "its subscription")
    told = await asyncio.to_thread(lambda: shown.ask("/api/queue-stats", Accept="application/json"))
    assert line.names.requests in told.text
    assert "cannot" not in (await asyncio.to_thread(shown.ask, "/dead")).text
    assert await asyncio.to_thread(shown.running.stop) == 0
    assert "refused" not in log().lower()
    for queue in (line.names.requests, line.names.call_queue("alpha", Priority.STANDARD)):
        for what in ("basic_get", "queue_purge", "queue_delete"):
            assert intruder("desk").try_to(what, queue) == REFUSED


async def test_an_observer_watches(line, capsys, raw):
    """`optimizer events` works with the rights of an observer, and says in a sentence what it may not hear."""
    watching = asyncio.create_task(
        monitor(line.broker.url("cache-board"), line.prefix, ["optimizer.cache.*"], as_json=True, count=1)
    )
    await asyncio.to_thread(wait_until, lambda: "listening" in capsys.readouterr().err, "the monitor")
    await asyncio.to_thread(lambda: raw("anna").send("quality", uuid.uuid4().hex))
    assert await watching == 0

    assert await monitor(line.broker.url("cache-board"), line.prefix, ["optimizer.*"], as_json=True, count=1) == 77
    said = capsys.readouterr().err
    assert "access to topic 'optimizer.#'" in said
    assert "`optimizer permissions` prints the rights" in said


async def test_what_is_missing_is_told(line):
    """Who may not declare what is missing says so, with what to do; a coordinator may, and then it is there."""
    missing, calls = line.names.call_queue("beta", Priority.BATCH), backend_topology(line.names, ["beta"])
    async with (
        await Session.open(line.broker.url("beta-worker"), "t") as worker,
        await Session.open(line.broker.url("hub"), "t") as coordinator,
    ):
        await worker.declare(shared_topology(line.names))
        await (await coordinator.channel()).delete_queue(missing)
        try:
            with pytest.raises(NotDeclared, match=rf"The queue {missing} does not exist, .* start a coordinator first"):
                await worker.declare(calls)
        finally:
            await coordinator.declare(calls)
        await worker.declare(calls)
        assert not worker.lost.is_set()


async def test_what_is_refused_is_told(line):
    """A refusal names the user and what it may not do, on a channel as on a session."""
    async with await Session.open(line.broker.url("bert"), "t") as session:
        channel = await session.channel()
        with pytest.raises(NotPermitted, match=r"refused for user 'bert'.*optimizer permissions"):
            await channel.declare_queue(reply_queue(line.names.reply_queue("anna", "1")))
        await session.lost.wait()
        assert re.match(r"ACCESS_REFUSED - (configure )?access to queue .* refused for user", str(session.refused))


async def test_topology_check_of_an_agent(line, capsys):
    """`optimizer topology` run by a user who may not declare says so, with exit code 77."""
    assert await check(line.broker.url("bert"), line.prefix, []) == 77
    environment = {
        "OPTIMIZER_AMQP_URL": line.broker.url("bert"),
        "OPTIMIZER_CONFIG": str(line.folder / "optimizer.toml"),
    }
    for words in (["dead", "list"], ["forget", "--tenant", "acme", "--yes"]):
        assert (await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)).exit_code == 77
    assert "refused for user 'bert'" in capsys.readouterr().err


async def test_asking_in_anothers_name(line):
    """`optimizer ask` in a name that its user may not use says so, with exit code 77; in its own it is answered."""
    environment = {
        "OPTIMIZER_AMQP_URL": line.broker.url("bert"),
        "OPTIMIZER_CONFIG": str(line.folder / "optimizer.toml"),
    }
    asked = {
        agent: await asyncio.to_thread(CliRunner().invoke, app, ["ask", "Hello", "--agent", agent], env=environment)
        for agent in ("quality", "bert")
    }
    assert {agent: result.exit_code for agent, result in asked.items()} == {"quality": 77, "bert": 0}
    assert "may not ask in the name of the agent 'quality'" in asked["quality"].output


async def test_a_client_without_rights_says_why(line):
    """An agent's client that may not have its reply queue fails with the reason instead of at its deadline."""
    async with AsyncOptimizer(
        "bert", url=line.broker.url("alpha-worker"), prefix=line.prefix, connect_timeout=1
    ) as client:
        with pytest.raises(OptimizerUnavailable, match="refused for user 'alpha-worker'"):
            await client.chat("Hello", timeout=10)


def test_a_coordinator_without_rights_leaves(line):
    """A coordinator whose user is none leaves with exit code 77 and the reason, because trying again will not help."""
    coordinator = line.coordinator(OPTIMIZER_AMQP_URL=line.broker.url("alpha-worker"))

    assert coordinator.process.wait(20) == 77
    assert "refused for user 'alpha-worker'" in coordinator.text()


@pytest.mark.slow
def test_what_is_printed_can_be_run(line):
    """The printed commands give the same rights as what --json prints, once a shell has taken them apart."""
    server, vhost = line.broker.server, line.broker.vhost

    def rights():
        listed = (server.ctl(what, "-p", vhost) for what in ("list_permissions", "list_topic_permissions"))
        return [sorted(each.splitlines()) for each in listed]

    before, config = rights(), str(line.folder / "optimizer.toml")
    for user in load(config, {}).users:
        server.ctl("clear_permissions", "-p", vhost, user)
        server.ctl("clear_topic_permissions", "-p", vhost, user)
    assert rights() != before

    environment = {"OPTIMIZER_AMQP_URL": line.broker.admin_url}
    printed = CliRunner().invoke(app, ["permissions", "--config", config], env=environment).stdout
    for line_of_commands in printed.splitlines():
        words = shlex.split(line_of_commands, comments=True)
        for ends, group in groupby(words, "&&".__eq__):
            if not ends:
                program, *arguments = group
                assert program == "rabbitmqctl"
                server.ctl(*arguments)
    assert rights() == before


# --- what was submitted


async def test_only_who_submitted_fetches(line):
    """An answer is fetched by every agent of the user who submitted, and is unknown to any other, in the same words."""
    async with client(line, "anna", "quality") as anna:
        request_id = await anna.submit("For anna", timeout=30)
        text = (await anna.fetch(request_id, timeout=20)).text
    async with client(line, "anna", "qa-2") as colleague:
        assert (await colleague.fetch(request_id, timeout=20)).text == text
    said = set()
    for user, agent in (("bert", "bert"), ("dora", "quality"), ("carl", "quality")):
        async with client(line, user, agent) as other:
            assert await other.status(request_id) == await other.status("never") == Status("unknown")
            assert not await other.cancel_submitted(request_id)
            with pytest.raises(NotFoundError) as theirs:
                await other.fetch(request_id, timeout=0)
            with pytest.raises(NotFoundError) as nobodys:
                await other.fetch("never", timeout=0)
            said |= {theirs.value.message.replace(request_id, ""), nobodys.value.message.replace("never", "")}
            # Their own request of the same id is their own.
            assert await other.submit(f"For {user}", request_id=request_id, timeout=30) == request_id
            assert (await other.fetch(request_id, timeout=20)).text != text
    assert len(said) == 1


@pytest.mark.parametrize(
    ("agent", "properties"),
    [("quality", {}), ("bert", {"user_id": None}), ("bert", {"reply_to": None})],
)
async def test_a_crafted_question_finds_nothing(line, raw, agent, properties):
    """A question in another's name, without its user, or with a crafted address gets no answer of anna's."""
    async with client(line, "anna", "quality") as anna:
        request_id = await anna.submit("For anna alone", timeout=30)
        await anna.fetch(request_id, timeout=20)
    bert = raw("bert")
    bert.send(agent, "", kind=FETCH_TYPE, properties=properties, request_id=request_id, want="answer", wait_ms=0)
    answer = await asyncio.to_thread(bert.answer, 3.0)

    assert answer is None or (answer["ok"], answer["error"]["code"]) == (False, "unauthorized")
