"""Find a RabbitMQ and a Redis for the tests, in this order:

OPTIMIZER_TEST_AMQP_URL, OPTIMIZER_TEST_REDIS_URL
  └► private instances of the newer servers in OPTIMIZER_TEST_SERVERS
  └► containers, where a Docker engine answers
       └► the servers of this machine on their usual ports, in a virtual host and a database of the tests' own
            └► private instances of the installed programs
"""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from tests.support import newer
from tests.support.servers import PrivateRabbitMQ, PrivateRedis

from optimizer_ops.services.probe import amqp_problem, redis_problem
from optimizer_ops.services.processes import port_is_free, wait_until
from optimizer_ops.services.urls import DEFAULT_AMQP_URL, parse

_CONTAINER_S = 120.0
_CTL_S = 60.0
_EPMD_PORT = 4369
# The last of Redis's sixteen databases: a developer's own data is usually in the first.
_LOCAL_REDIS_URL = "redis://127.0.0.1:6379/15"


@contextmanager
def amqp_service() -> Iterator[str]:
    """The URL of a broker to test with."""
    if url := os.environ.get("OPTIMIZER_TEST_AMQP_URL"):
        yield url
    elif newer.root() is not None:
        with PrivateRabbitMQ() as server:
            yield server.url
    elif docker_answers():
        with _container("rabbitmq:4", 5672, "amqp://guest:guest@{}:{}/", amqp_problem) as url:
            yield url
    elif amqp_problem(DEFAULT_AMQP_URL) is None:
        with own_vhost(DEFAULT_AMQP_URL) as url:
            yield url
    elif PrivateRabbitMQ.installed():
        with PrivateRabbitMQ() as server:
            yield server.url
    else:
        missing("RabbitMQ", "OPTIMIZER_TEST_AMQP_URL")


@contextmanager
def redis_service() -> Iterator[str]:
    """The URL of a Redis to test with."""
    if url := os.environ.get("OPTIMIZER_TEST_REDIS_URL"):
        yield url
    elif newer.root() is not None:
        with PrivateRedis() as server:
            yield server.url
    elif docker_answers():
        with _container("redis:8", 6379, "redis://{}:{}/0", redis_problem) as url:
            yield url
    elif redis_problem(_LOCAL_REDIS_URL) is None:
        yield _LOCAL_REDIS_URL
    elif PrivateRedis.installed():
        with PrivateRedis() as server:
            yield server.url
    else:
        missing("Redis", "OPTIMIZER_TEST_REDIS_URL")


def missing(name: str, variable: str) -> None:
    """Skip on a developer's machine; fail where `CI` is set, so that nothing stays untested unseen."""
    sentence = f"no {name}: run `make services`, install it, or set {variable}"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def docker_answers() -> bool:
    """Whether a Docker engine runs; its client alone does not count."""
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def own_vhost(url: str) -> Iterator[str]:
    """The same broker in a virtual host that is deleted at the end, with all that tests left in it.

    Where rabbitmqctl may not do it, or talks to another broker than the one at `url`, the URL stays as it is.
    """
    vhost = f"optimizer-test-{uuid.uuid4().hex[:12]}"
    inside = f"{url.rpartition('/')[0]}/{quote(vhost, safe='')}"
    user = parse(url).user or "guest"
    made = _ctl("add_vhost", vhost)
    try:
        ours = made and _ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*") and amqp_problem(inside) is None
        yield inside if ours else url
    finally:
        if made:
            _ctl("delete_vhost", vhost)


def _ctl(*words: str) -> bool:
    # As another user than root the wrapper of Debian only prints what it may not do; and where no system-wide broker
    # runs, the tool would leave a port mapper behind that nobody stops.
    if os.geteuid() != 0 or shutil.which("rabbitmqctl") is None or port_is_free(_EPMD_PORT):
        return False
    try:
        done = subprocess.run(["rabbitmqctl", "--quiet", *words], capture_output=True, check=False, timeout=_CTL_S)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@contextmanager
def _container(image: str, port: int, form: str, problem: Callable[[str], str | None]) -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # slow, and needed with an engine only

    with DockerContainer(image).with_exposed_ports(port) as container:
        url = form.format(container.get_container_host_ip(), container.get_exposed_port(port))
        if not wait_until(lambda: problem(url) is None, _CONTAINER_S):
            pytest.fail(f"the container of {image} did not answer within {_CONTAINER_S:.0f} s: {problem(url)}")
        yield url
