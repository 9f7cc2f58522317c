"""The proxy of the laboratory, between a client and a server that sends everything back."""

import socket
import threading
import time

import pytest
from tests.lab.proxy import TcpProxy

SOON_S = 5.0


@pytest.fixture
def echo_port():
    """A server on this machine that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(end):
        with end:
            try:
                while data := end.recv(65536):
                    end.sendall(data)
            except OSError:
                pass

    def accept():
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(end,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(SOON_S)


@pytest.fixture
def proxy(echo_port):
    """A proxy before it."""
    with TcpProxy("127.0.0.1", echo_port) as made:
        yield made


@pytest.fixture
def client(proxy):
    """A connection through the proxy, over which something has passed."""
    with socket.create_connection(("127.0.0.1", proxy.port), SOON_S) as end:
        assert echoed(end, b"hello") == b"hello"
        yield end


def echoed(end: socket.socket, data: bytes) -> bytes:
    """What comes back."""
    end.sendall(data)
    return received(end, len(data))


def received(end: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = end.recv(65536)
        assert piece, "the connection was closed"
        found += piece
    return found


def silent(end: socket.socket, for_s: float) -> bool:
    """Whether nothing comes for a while."""
    end.settimeout(for_s)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(SOON_S)
    return False


def test_large_amounts_pass_unharmed(proxy, client):
    """A megabyte comes back byte for byte, in whatever pieces it is written."""
    data = bytes(range(256)) * 4096
    sender = threading.Thread(target=client.sendall, args=(data,))
    proxy.slice(1000)
    sender.start()
    assert received(client, len(data)) == data
    sender.join(SOON_S)


def test_delay(proxy, client):
    """A delay counts once in each direction, and ends when healed."""
    proxy.delay(0.1)
    started = time.monotonic()
    echoed(client, b"x")
    assert 0.2 <= time.monotonic() - started < 1.0
    proxy.heal()
    started = time.monotonic()
    echoed(client, b"x")
    assert time.monotonic() - started < 0.1


def test_throttle(proxy, client):
    """A throttled direction lets through what it is allowed to."""
    proxy.throttle(10_000, "up")
    started = time.monotonic()
    echoed(client, b"x" * 5_000)
    assert 0.4 <= time.monotonic() - started < 2.0


def test_slices(proxy, client):
    """Single bytes are written one by one."""
    proxy.slice(1, "down")
    assert echoed(client, b"abc" * 50) == b"abc" * 50


@pytest.mark.parametrize("direction", ["up", "down"])
def test_swallowed_bytes_are_lost(proxy, client, direction):
    """What is swallowed in one direction never comes; what follows after healing does."""
    proxy.swallow(direction)
    client.sendall(b"lost")
    assert silent(client, 0.2)
    proxy.heal()
    assert echoed(client, b"kept") == b"kept"


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_partition_keeps_what_was_sent(proxy, client, direction):
    """A partition holds everything back with sockets open, and lets it through in order when healed."""
    proxy.partition(direction)
    client.sendall(b"one")
    client.sendall(b"two")
    assert silent(client, 0.2)
    proxy.heal()
    assert received(client, 6) == b"onetwo"


def test_cut_closes_in_order(proxy, client):
    """A cut connection ends as a closed one does, and a new one is served."""
    proxy.cut()
    assert client.recv(1) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), SOON_S) as again:
        assert echoed(again, b"new") == b"new"
    assert proxy.accepted == 2


def test_reset_resets(proxy, client):
    """A reset connection ends with ECONNRESET, also in the middle of a partition."""
    proxy.partition()
    client.sendall(b"held")
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_refuse(proxy):
    """While refusing, nobody gets to the server; after healing everybody does."""
    proxy.refuse()
    with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", proxy.port), SOON_S) as end:
        end.recv(1)
    proxy.heal()
    with socket.create_connection(("127.0.0.1", proxy.port), SOON_S) as end:
        assert echoed(end, b"in") == b"in"


def test_filter(proxy):
    """A filter is made for each connection and sees what passes in its direction."""

    def made():
        return lambda data: data.replace(b"a", b"")

    proxy.filter(made, "down")
    with socket.create_connection(("127.0.0.1", proxy.port), SOON_S) as end:
        end.sendall(b"banana")
        assert received(end, 3) == b"bnn"


def test_url(proxy):
    """A URL keeps everything but host and port."""
    assert proxy.url_of("amqp://u:p@host:1/v%2Fh") == f"amqp://u:p@127.0.0.1:{proxy.port}/v%2Fh"
