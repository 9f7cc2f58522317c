"""The order in which a service is looked for and started, with stand-ins for all that could start it."""

import pytest

from optimizer_ops.services import containers, debian, ensure
from optimizer_ops.services.kinds import KINDS, Kind
from optimizer_ops.services.record import Record, Started
from optimizer_ops.services.urls import ServicesUnavailable

URL = "redis://127.0.0.1:20/0"


class Machine:
    """A machine that says what is on it and notes what was done."""

    def __init__(self):
        self.answering = set()
        self.docker = self.docker_works = self.root_on_debian = self.program = False
        self.done = []

    def problem(self, url):
        """What a probe would say."""
        return None if url in self.answering else "connection refused"

    def start_container(self, key, url, port):
        """Stand in for Docker."""
        self.done.append(f"docker {port}")
        if not self.docker_works:
            raise ServicesUnavailable("No image.")
        self.answering.add(url)

    def install(self, keys):
        """Stand in for apt-get."""
        self.done.append(f"install {keys}")
        self.program = True

    def start(self, url, folder, port):
        """Stand in for the installed program."""
        self.done.append(f"private {port}")
        self.answering.add(url)
        return Started("private", url)

    def kind(self):
        """This machine's Redis."""
        return Kind(
            "redis", "Redis", "OPTIMIZER_REDIS_URL", lambda _: URL, self.problem, lambda: self.program, self.start
        )


@pytest.fixture
def machine(monkeypatch):
    """A machine with nothing on it."""
    machine = Machine()
    monkeypatch.setattr(containers, "available", lambda: machine.docker)
    monkeypatch.setattr(containers, "start", machine.start_container)
    monkeypatch.setattr(containers, "stop", lambda key: machine.done.append(f"remove {key}"))
    monkeypatch.setattr(debian, "available", lambda: machine.root_on_debian)
    monkeypatch.setattr(debian, "install", machine.install)
    monkeypatch.setattr(ensure, "port_for", lambda url: 20)
    monkeypatch.setattr(ensure, "_CONTAINER_S", 0.0)
    return machine


@pytest.fixture
def up(machine, tmp_path):
    """Make the service available on that machine."""
    said = []

    def run(url=URL):
        return ensure._ensure(machine.kind(), url, Record(tmp_path), said.append)

    run.said = said
    return run


def test_what_answers_is_used(machine, up):
    """Nothing is started beside it."""
    machine.answering.add(URL)
    machine.docker = machine.program = True

    assert up() == URL
    assert machine.done == []


@pytest.mark.parametrize(
    ("there", "done"),
    [
        ({"docker", "docker_works", "program"}, ["docker 20"]),
        ({"docker", "program"}, ["docker 20", "private 20"]),
        ({"program", "root_on_debian"}, ["private 20"]),
        ({"root_on_debian"}, ["install ['redis']", "private 20"]),
    ],
)
def test_the_first_way_that_works_is_taken(machine, up, there, done):
    """Containers, then the installed program, then installing it."""
    for name in there:
        setattr(machine, name, True)

    assert up() == URL
    assert machine.done == done


def test_a_container_that_lets_nobody_in_is_taken_away(machine, up, monkeypatch):
    """It would hold the port that the next way needs."""
    machine.docker = machine.docker_works = machine.program = True
    monkeypatch.setattr(containers, "start", lambda key, url, port: None)

    up()

    assert machine.done == ["remove redis", "private 20"]


def test_the_second_time_finds_what_the_first_started(machine, up, tmp_path):
    """Also where it runs on another port than the one asked for."""
    machine.answering.add("redis://127.0.0.1:99/0")
    Record(tmp_path).add("redis", Started("private", "redis://127.0.0.1:99/0"))

    assert up() == "redis://127.0.0.1:99/0"
    assert machine.done == []


def test_a_started_service_that_no_longer_answers_is_replaced(machine, up, tmp_path):
    """What is left of it is ended first."""
    machine.program = True
    Record(tmp_path).add("redis", Started("docker", "redis://127.0.0.1:99/0"))

    up()

    assert machine.done == ["remove redis", "private 20"]
    assert Record(tmp_path).read()["redis"].way == "private"


def test_with_nothing_to_start_it_the_sentence_says_what_to_do(up):
    """Start, install, Docker, or the variable."""
    with pytest.raises(ServicesUnavailable) as raised:
        up()

    for word in ("Redis is not running", "apt-get install redis-server", "Docker", "OPTIMIZER_REDIS_URL"):
        assert word in str(raised.value)


@pytest.mark.parametrize("url", ["redis://cache.example/0", "rediss://127.0.0.1/0"])
def test_nothing_is_started_in_place_of_a_service_that_is_elsewhere(machine, up, url):
    """Silently using another one would be worse than stopping."""
    machine.program = True

    with pytest.raises(ServicesUnavailable, match="unset OPTIMIZER_REDIS_URL"):
        up(url)

    assert machine.done == []


def test_a_password_is_not_reported(machine, up):
    """Progress may be logged."""
    machine.program = True

    up("redis://:hush@127.0.0.1:20/0")

    assert up.said
    assert not any("hush" in line for line in up.said)


def test_programs_are_installed_whatever_runs(machine, monkeypatch):
    """Tests start servers of their own, so an answer on the usual port is no reason to do without."""
    monkeypatch.setattr(ensure, "KINDS", (machine.kind(),))
    machine.answering.add(URL)
    machine.root_on_debian = True

    ensure.install_programs(lambda line: None)
    ensure.install_programs(lambda line: None)

    assert machine.done == ["install ['redis']"]


def test_programs_that_cannot_be_installed_are_named(machine, monkeypatch):
    """In one sentence."""
    monkeypatch.setattr(ensure, "KINDS", (machine.kind(),))

    with pytest.raises(ServicesUnavailable, match="Not installed: redis-server;"):
        ensure.install_programs(lambda line: None)


def test_stopping_where_nothing_was_started_says_so(tmp_path):
    """And ends nothing."""
    said = []

    ensure.stop_services(said.append, folder=tmp_path)

    assert said == ["Nothing was started here."]


def test_both_services_are_known():
    """RabbitMQ first: it takes longer."""
    assert [(kind.key, kind.name) for kind in KINDS] == [("rabbitmq", "RabbitMQ"), ("redis", "Redis")]
