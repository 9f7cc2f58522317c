"""What probes say about servers that are not there, are somebody else, or say no."""

import socket
import threading
from contextlib import contextmanager

import pytest

from optimizer_ops.services.probe import amqp_problem, redis_problem
from optimizer_ops.services.processes import free_port


@contextmanager
def saying(*lines):
    """A server that answers the first connection that sends something, one line to each piece it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = []

        def serve():
            # The first connection only looks whether the port is open.
            server.accept()[0].close()
            connection, _ = server.accept()
            with connection:
                for line in lines:
                    heard.append(connection.recv(4096))
                    connection.sendall(line)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(5.0)


@pytest.mark.parametrize(("probe", "scheme"), [(amqp_problem, "amqp"), (redis_problem, "redis")])
def test_nobody_listens(probe, scheme):
    """A closed port is said in a few words."""
    assert probe(f"{scheme}://127.0.0.1:{free_port()}/") == "connection refused"


def test_something_else_than_a_broker_is_recognised():
    """A port where another protocol answers is not taken for RabbitMQ."""
    with saying(b"-ERR unknown command\r\n") as (port, _):
        problem = amqp_problem(f"amqp://guest:guest@127.0.0.1:{port}/", 2.0)

    assert "AMQP" in problem


def test_redis_is_asked_in_its_own_protocol():
    """Login, database and PING, each answered before the next."""
    with saying(b"+OK\r\n", b"+OK\r\n", b"+PONG\r\n") as (port, heard):
        assert redis_problem(f"redis://u:p@127.0.0.1:{port}/2", 2.0) is None

    assert heard == [
        b"*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n",
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n",
        b"*1\r\n$4\r\nPING\r\n",
    ]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"-NOAUTH Authentication required.\r\n", "it answered PING with 'NOAUTH Authentication required.'"),
        (b"HTTP/1.1 400 Bad Request\r\n", "it answered PING with 'HTTP/1.1 400 Bad Request'"),
        (b"", "it answered PING with ''"),
    ],
)
def test_a_redis_that_says_no_is_quoted(answer, problem):
    """Its own words say best what is wrong."""
    with saying(answer) as (port, _):
        assert redis_problem(f"redis://127.0.0.1:{port}", 2.0) == problem


def test_a_silent_server_costs_no_more_than_the_patience():
    """A port that is open and mute is a problem like others."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}"

        assert redis_problem(url, 0.1) == "it broke off: timed out"
