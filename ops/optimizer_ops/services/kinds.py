"""The two services, alike for those who start them: how to ask, and how to start one of our own."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from optimizer_ops.services import probe, rabbitmq, redis_server
from optimizer_ops.services.processes import free_port, port_is_free
from optimizer_ops.services.rabbitmq import RabbitMQInstance
from optimizer_ops.services.record import Started
from optimizer_ops.services.redis_server import RedisInstance
from optimizer_ops.services.urls import AMQP_VARIABLE, REDIS_VARIABLE, ServiceUrls, parse


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of service."""

    key: str
    name: str
    variable: str
    """The environment variable that says where it is."""
    wanted: Callable[[ServiceUrls], str]
    problem: Callable[[str], str | None]
    installed: Callable[[], bool]
    start: Callable[[str, Path, int], Started]
    """Start a private one: the URL to be like, the folder to live in, the port."""


def _start_rabbitmq(url: str, folder: Path, port: int) -> Started:
    instance = RabbitMQInstance.like(url, folder, (port, free_port(), free_port()))
    return Started("private", instance.url, instance.start())


def _start_redis(url: str, folder: Path, port: int) -> Started:
    instance = RedisInstance.like(url, folder, port)
    return Started("private", instance.url, instance.start())


KINDS = (
    Kind(
        "rabbitmq",
        "RabbitMQ",
        AMQP_VARIABLE,
        lambda urls: urls.amqp_url,
        probe.amqp_problem,
        rabbitmq.installed,
        _start_rabbitmq,
    ),
    Kind(
        "redis",
        "Redis",
        REDIS_VARIABLE,
        lambda urls: urls.redis_url,
        probe.redis_problem,
        redis_server.installed,
        _start_redis,
    ),
)


def port_for(url: str) -> int:
    """The port the URL names, so that every process finds the service there; another one if it is taken."""
    wanted = parse(url).port
    return wanted if port_is_free(wanted) else free_port()
