"""The rights of users: exactly what each role needs, as regular expressions over names."""

import json
import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from optimizer_config.model import Config, User
from optimizer_ops.cli import app
from optimizer_ops.event_monitor import topic_matches
from optimizer_ops.permissions.patterns import any_of, bindings_within, exactly
from optimizer_ops.permissions.rights import commands, definitions, rights_of
from optimizer_wire.topology import Names, backend_topology, self_check_queue, shared_topology, topic_pattern

USERS = {
    "a": User("agent"),
    "a.b": User("agent"),
    "hub": User("coordinator"),
    "w": User("worker", backends=("groq",)),
    "board": User("observer", events=("optimizer.cache.*",)),
    "book": User("recorder"),
    "desk": User("dashboard"),
}
CONFIG = Config(prefix="o.1", configured=frozenset({"mine"}), users=USERS)
RIGHTS = {each.user: each for each in rights_of(CONFIG)}
NAMES = Names("o.1")


def may(user, what, name):
    """Whether a user may do something with a queue or exchange; RabbitMQ searches, hence the anchors."""
    return re.search(getattr(RIGHTS[user], what), name) is not None


def test_an_agent_has_its_reply_queues_and_asks():
    """An agent may publish to the requests, and has reply queues with its name: not those of a user named like it."""
    own = NAMES.reply_queue("a", "1")

    assert all(may("a", what, own) for what in ("configure", "read"))
    assert may("a", "write", NAMES.requests)
    for other in (NAMES.reply_queue("a.b", "1"), NAMES.reply_queue("ab", "1"), own.replace("o.1", "oX1"), f"x{own}"):
        assert not any(may("a", what, other) for what in ("configure", "write", "read"))
    assert not may("a.b", "read", own)
    assert not may("a", "read", NAMES.requests)
    assert not may("a", "write", f"{NAMES.requests}.x")
    assert RIGHTS["a"].topics == ()


def test_a_coordinator_may_declare_whatever_the_topology_has():
    """A coordinator may declare, bind and read all that the topology has for the served backends, and nothing else."""
    for part in (shared_topology(NAMES), backend_topology(NAMES, ["mine", "groq"])):
        for entity in (*part.exchanges, *part.queues):
            assert may("hub", "configure", entity.name)
        for queue in part.queues:
            assert may("hub", "read", queue.name)
            assert may("hub", "write", queue.arguments.get("x-dead-letter-exchange", NAMES.dead))
        for binding in part.bindings:
            assert may("hub", "write", binding.queue)
            assert may("hub", "read", binding.exchange)
    assert may("hub", "write", "amq.default")
    assert not may("hub", "configure", NAMES.reply_queue("a", "1"))
    assert not may("hub", "read", NAMES.events)


def test_a_worker_reads_the_calls_of_its_backends_only():
    """A worker may read its own call queues; nothing lets it bind a queue to the exchange of calls."""
    assert may("w", "read", "o.1.calls.groq.batch")
    assert not may("w", "read", "o.1.calls.mine.batch")
    assert not may("w", "read", NAMES.calls)
    assert all(may("w", "write", name) for name in (NAMES.events, NAMES.journal))
    assert not any(may("w", "configure", name) for name in ("o.1.calls.groq.batch", NAMES.calls, "x"))


@pytest.mark.parametrize("user", ["hub", "w"])
def test_processes_check_themselves(user):
    """Coordinators and workers may have queues for messages to themselves."""
    name = self_check_queue(NAMES, "1").name

    assert may(user, "configure", name)
    assert may(user, "read", name)


def test_an_observer_has_its_own_queues():
    """An observer may declare queues for its events, and publish to nothing that is not its own."""
    assert all(may("board", what, NAMES.event_queue("board", "1")) for what in ("configure", "write", "read"))
    assert may("board", "read", NAMES.events)
    assert not any(may("board", "write", name) for name in (NAMES.events, NAMES.requests, "amq.default", NAMES.dead))
    assert not may("board", "read", NAMES.event_queue("board.x", "1"))
    assert RIGHTS["board"].topics[0].write == "^$"


def test_a_recorder_hears_all_events_and_no_more():
    """A recorder may declare and bind its queue of events, and neither read nor publish what agents ask."""
    own = (NAMES.recorder, NAMES.events, NAMES.journal)
    assert all(may("book", what, name) for what in ("configure", "write", "read") for name in own)
    others = (NAMES.calls, "amq.default", NAMES.event_queue("board", "1"))
    assert not any(may("book", what, name) for what in ("configure", "write", "read") for name in others)


def test_a_dashboard_hears_tells_and_lists_dead_letters():
    """A dashboard has its own queues of events, tells of what operators do, and may have the kept letters in turn."""
    assert all(may("desk", what, NAMES.event_queue("desk", "1")) for what in ("configure", "write", "read"))
    assert may("desk", "read", NAMES.events)
    assert may("desk", "write", NAMES.events)
    assert may("desk", "write", NAMES.journal)
    assert not any(may(user, "read", NAMES.journal) for user in ("desk", "board", "w", "hub"))
    assert may("desk", "read", NAMES.kept)
    assert may("desk", "configure", NAMES.kept_lock)
    others = (NAMES.calls, "amq.default", NAMES.event_queue("board", "1"), NAMES.reply_queue("a", "1"))
    assert not any(may("desk", what, name) for what in ("configure", "write", "read") for name in others)


@pytest.mark.parametrize("user", ["book", "desk"])
def test_who_watches_sees_queues_and_takes_nothing(user):
    """Recorders and dashboards have a right to every queue that they look at, and may neither read nor change it."""
    for part in (shared_topology(NAMES), backend_topology(NAMES, ["mine", "groq"])):
        for queue in part.queues:
            assert may(user, "write", queue.name)
            assert not may(user, "configure", queue.name)
            assert not may(user, "read", queue.name) or (user, queue.name) == ("desk", NAMES.kept)
    assert may(user, "write", NAMES.recorder)


def texts(words, longest):
    """All texts of so many of the words, with dots between them."""
    return [".".join(each) for length in range(1, longest + 1) for each in product(words, repeat=length)]


@pytest.mark.parametrize("given_pattern", texts(["a", "b", "*", "#"], 3))
def test_no_binding_lets_more_through(given_pattern):
    """A binding that a user may make lets nothing through that the pattern it was given does not."""
    allowed, meant = re.compile(bindings_within([given_pattern])), topic_pattern(given_pattern)
    beyond = [key for key in texts(["a", "b", "c"], 4) if not topic_matches(meant, key)]

    for binding in filter(allowed.search, texts(["a", "b", "*", "#"], 3)):
        assert not any(topic_matches(binding, key) for key in beyond)


@pytest.mark.parametrize(
    ("pattern", "binding"),
    [
        ("optimizer.cache.*", "optimizer.cache.#"),
        ("optimizer.cache.*", "optimizer.cache.hit"),
        ("optimizer.*", "optimizer.#"),
        ("*", "#"),
        ("optimizer.call.failed", "optimizer.call.failed"),
        ("optimizer.#.failed", "optimizer.call.failed"),
    ],
)
def test_what_was_given_may_be_bound(pattern, binding):
    """Who was given a pattern may bind what `optimizer events` makes of it, and what is narrower."""
    assert re.search(bindings_within([pattern]), binding)


@given(
    st.text(min_size=1, max_size=6, alphabet="a.^$*+?{}[]|()\\- "), st.text(min_size=1, max_size=6, alphabet="a.b*-")
)
def test_names_are_quoted(name, other):
    """The expression of a name matches this name alone."""
    assert re.search(any_of(exactly([name])), name)
    assert bool(re.search(any_of(exactly([name])), other)) is (name == other)


def test_command(tmp_path):
    """`optimizer permissions` prints commands, with --json what RabbitMQ imports, and without users why it cannot."""
    file = tmp_path / "optimizer.toml"
    file.write_text('prefix = "o"\n[users."qa team"]\nrole = "agent"\n')
    run = CliRunner().invoke

    told = run(app, ["permissions", "--config", str(file)]).stdout
    assert "rabbitmqctl set_permissions -p / 'qa team' '^o\\.replies\\.qa team\\.[^.]+$' '^o\\.requests$' '" in told
    assert "#   rabbitmqctl add_user 'qa team'\n" in told
    parsed = json.loads(run(app, ["permissions", "--json", "--config", str(file)]).stdout)
    assert parsed["permissions"][0]["write"] == r"^o\.requests$"
    file.write_text("")
    refused = run(app, ["permissions", "--config", str(file)])
    assert (refused.exit_code, "no [users]" in refused.stderr) == (78, True)


def test_an_observer_gets_no_right_before_its_limits():
    """What limits an observer to its events comes before its rights, and if it fails the rights are not given."""
    line = next(line for line in commands(rights_of(CONFIG), "v") if line[0][2] == "board")

    assert [command[1] for command in line] == ["set_user_tags", "set_topic_permissions", "set_permissions"]


def test_commands_and_definitions_say_the_same():
    """Both forms hold the same rights, in the virtual host."""
    rights = rights_of(CONFIG)
    spoken = [command[4:] for line in commands(rights, "v") for command in line if command[1] == "set_permissions"]
    written = definitions(rights, "v")

    assert [[row["user"], row["configure"], row["write"], row["read"]] for row in written["permissions"]] == spoken
    assert {row["vhost"] for rows in written.values() for row in rows} == {"v"}
    assert len(written["topic_permissions"]) == 1
