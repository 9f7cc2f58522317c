"""RabbitMQ and Redis really started, found again, broken and stopped: `python -m optimizer_ops.services` and the
private servers of the tests.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pika
import pytest
import redis
from tests.support.servers import PrivateRabbitMQ, PrivateRedis

from optimizer_ops.services.probe import amqp_problem, redis_problem
from optimizer_ops.services.processes import free_port, wait_until
from optimizer_ops.services.record import Record

needs_programs = pytest.mark.skipif(
    not (PrivateRabbitMQ.installed() and PrivateRedis.installed()) and not os.environ.get("CI"),
    reason="rabbitmq-server and redis-server are not installed",
)


class Machine:
    """A machine on which nothing runs: the URLs name free ports, and there is no Docker engine."""

    def __init__(self, folder):
        self.folder = folder
        self.amqp_url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
        self.redis_url = f"redis://127.0.0.1:{free_port()}/0"

    def run(self, *words):
        """Run the command as a user would."""
        env = os.environ | {
            "OPTIMIZER_SERVICES_DIR": str(self.folder),
            "OPTIMIZER_AMQP_URL": self.amqp_url,
            "OPTIMIZER_REDIS_URL": self.redis_url,
            "DOCKER_HOST": "unix:///nowhere",
        }
        command = [sys.executable, "-m", "optimizer_ops.services", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)

    def pids(self):
        """The processes on record, by service."""
        return {key: [process.pid for process in entry.processes] for key, entry in self.record().items()}

    def record(self):
        """What was started here."""
        return Record(self.folder).read()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A machine with both services started by `up`."""
    machine = Machine(tmp_path_factory.mktemp("services"))
    machine.first = machine.run("up", "--json")
    yield machine
    machine.run("stop")


@needs_programs
def test_up_starts_what_is_missing_where_it_is_looked_for(machine):
    """On a machine where nothing runs, both answer at their URLs afterwards; progress is not in the result."""
    assert machine.first.returncode == 0, machine.first.stderr
    assert json.loads(machine.first.stdout) == {"amqp_url": machine.amqp_url, "redis_url": machine.redis_url}
    assert "Starting RabbitMQ" in machine.first.stderr
    assert amqp_problem(machine.amqp_url) is None
    assert redis_problem(machine.redis_url) is None


@needs_programs
def test_up_again_finds_the_same_servers(machine):
    """Nothing is started twice, and it takes no time."""
    before = machine.pids()

    started = time.monotonic()
    again = machine.run("up")

    assert again.returncode == 0
    assert machine.pids() == before
    assert time.monotonic() - started < 5.0
    assert again.stdout == f"RabbitMQ  {machine.amqp_url}\nRedis     {machine.redis_url}\n"


@needs_programs
def test_status_tells_where_they_are(machine):
    """Both as a line and as JSON; exit code 0 while both answer."""
    told = machine.run("status", "--json")

    assert told.returncode == 0
    assert json.loads(told.stdout) == [
        {"service": "rabbitmq", "url": machine.amqp_url, "way": "private", "problem": None},
        {"service": "redis", "url": machine.redis_url, "way": "private", "problem": None},
    ]


@needs_programs
def test_a_wrong_login_is_told_from_a_broker_that_is_not_there(machine):
    """The words name the user, or the virtual host."""
    login = machine.amqp_url.replace("guest:guest", "guest:wrong")

    assert amqp_problem(login) == "it refused the login of guest"
    assert amqp_problem(f"{machine.amqp_url}nowhere") == "it refused the virtual host nowhere"
    assert redis_problem(machine.redis_url.replace("/0", "/99")) is not None


@needs_programs
def test_stop_ends_what_was_started_and_a_new_up_has_its_data(machine):
    """The servers of others live on, and an answer that was kept is there after the restart."""
    with redis.Redis.from_url(machine.redis_url) as client, PrivateRedis() as other:
        client.set("kept", "yes")
        stopped = machine.run("stop")

        assert stopped.returncode == 0
        assert machine.record() == {}
        assert machine.run("status").returncode == 69
        assert redis_problem(other.url) is None

        assert machine.run("up").returncode == 0
        assert client.get("kept") == b"yes"


@needs_programs
def test_up_takes_another_port_when_somebody_else_has_the_one_it_wants(machine, tmp_path):
    """The result is then said in a form that a shell takes, and is found again."""
    with PrivateRedis() as stranger:
        crowded = Machine(tmp_path)
        crowded.amqp_url = machine.amqp_url
        crowded.redis_url = stranger.url.replace("redis://", "redis://:unknown@")
        try:
            first, again = crowded.run("up"), crowded.run("up")
        finally:
            crowded.run("stop")

    assert first.returncode == again.returncode == 0, first.stderr
    assert first.stdout.splitlines()[1].startswith("export OPTIMIZER_REDIS_URL=redis://:***@127.0.0.1:")
    assert first.stdout == again.stdout


def test_without_a_way_to_start_it_the_command_says_what_to_do(tmp_path):
    """A service on another machine is not started here: one sentence, exit code 69."""
    machine = Machine(tmp_path)
    machine.amqp_url = "amqp://guest:guest@192.0.2.1.invalid:5672/"

    result = machine.run("up")

    assert result.returncode == 69
    assert result.stdout == ""
    assert "unset OPTIMIZER_AMQP_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_redis_keeps_its_port_and_its_data_over_a_kill(private_redis):
    """What it had written is there after `kill -9`, at the same address; after `lose_data` nothing is."""
    url, pid = private_redis.url, private_redis.pid
    with redis.Redis.from_url(url) as client:
        client.set("kept", "yes")
        # Redis writes before it answers, except while an fsync is under way.
        assert wait_until(
            lambda: any(b"kept" in file.read_bytes() for file in private_redis.folder.rglob("*.aof")), 5.0
        )
        private_redis.kill()
        assert redis_problem(url) == "connection refused"
        private_redis.start()

        assert private_redis.url == url
        assert private_redis.pid != pid
        assert client.get("kept") == b"yes"
        private_redis.lose_data()
        assert client.get("kept") is None


def test_a_frozen_redis_is_there_and_mute(private_redis):
    """Connections open, nobody answers; afterwards it goes on."""
    private_redis.pause()

    assert private_redis.running()
    assert redis_problem(private_redis.url, 0.2) == "it broke off: timed out"
    private_redis.resume()
    assert redis_problem(private_redis.url) is None


async def test_rabbitmq_keeps_confirmed_messages_over_a_kill(private_rabbitmq, prefix):
    """A message that a quorum queue confirmed is there after `kill -9` and a start on the same port."""
    url = private_rabbitmq.url
    # RabbitMQ writes the list of its quorum queues late, about a second; one that is not on it is lost in a kill.
    listed = next(private_rabbitmq.folder.glob("data/*/quorum/*/names.dets"))
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(prefix, durable=True, arguments={"x-queue-type": "quorum"})
        channel.basic_publish("", prefix, b"kept", pika.BasicProperties(delivery_mode=2))

    assert await asyncio.to_thread(wait_until, lambda: prefix.encode() in listed.read_bytes(), 10.0)
    await asyncio.to_thread(private_rabbitmq.kill)
    assert amqp_problem(url) == "connection refused"
    await asyncio.to_thread(private_rabbitmq.start)

    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        assert channel.basic_get(prefix)[2] == b"kept"
        channel.queue_delete(prefix)


def test_rabbitmq_can_be_stopped_inside_its_virtual_machine(private_rabbitmq):
    """`stop_app` closes the port and leaves the process; `start_app` opens it again."""
    private_rabbitmq.ctl("stop_app")

    assert private_rabbitmq.running()
    assert amqp_problem(private_rabbitmq.url) == "connection refused"
    private_rabbitmq.ctl("start_app")
    assert amqp_problem(private_rabbitmq.url) is None


def test_the_next_test_gets_a_broker_that_runs(private_rabbitmq):
    """Whatever the one before did to it; here: stopped from inside, then frozen."""
    assert amqp_problem(private_rabbitmq.url) is None
    private_rabbitmq.ctl("stop_app")
    private_rabbitmq.pause()


def test_and_so_does_the_one_after(private_rabbitmq):
    """The second half of the test above."""
    assert amqp_problem(private_rabbitmq.url) is None


def test_servers_of_a_killed_test_run_do_not_stay(tmp_path):
    """A run that is killed with -9 cannot clean up; its servers and their folders go all the same."""
    program = (
        "import sys, time; from tests.support.servers import PrivateRedis; server = PrivateRedis().start();"
        "print(server.pid, server.url, server.folder, flush=True); time.sleep(60)"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    _, url, folder = run.stdout.readline().split()
    assert redis_problem(url) is None

    run.send_signal(signal.SIGKILL)
    run.communicate()

    assert wait_until(lambda: redis_problem(url) == "connection refused", 5.0)
    assert wait_until(lambda: not Path(folder).exists(), 5.0)


def test_each_run_has_its_own_broker_and_each_test_its_own_names(amqp_url, redis_url, prefix, amqp_cleanup):
    """The shared servers answer, and what carries the prefix can be made."""
    assert amqp_problem(amqp_url) is None
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{prefix}:key", 1)
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        connection.channel().queue_declare(f"{prefix}.calls.groq.batch", durable=True)
    amqp_cleanup.backends("groq")
    _LEFT.update(prefix=prefix)


def test_what_a_test_left_is_gone_after_it(amqp_url, redis_url):
    """The keys and queues of the test above."""
    prefix = _LEFT["prefix"]

    with redis.Redis.from_url(redis_url) as client:
        assert not client.exists(f"{prefix}:key")
    with (
        pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection,
        pytest.raises(pika.exceptions.ChannelClosedByBroker),
    ):
        connection.channel().queue_declare(f"{prefix}.calls.groq.batch", passive=True)


_LEFT = {}
