"""A TCP proxy on this machine that does to connections what networks do: delay, throttle, slice, lose, cut, reset.

Put it between any process and RabbitMQ, Redis or a backend::

    with TcpProxy(host, port) as proxy:      # processes connect to proxy.url_of(amqp_url)
        proxy.delay(0.15, jitter_s=0.05)     # each way, in both directions unless told otherwise
        proxy.partition()                    # nothing passes, sockets stay open; what was sent arrives after `heal`
        proxy.heal()                         # as good as new, for what comes from now on
        proxy.reset()                        # RST to every connection that is open now

A direction is "up" (to the server), "down" (from it) or "both". Every method may be called from any thread and takes
effect before it returns. Rules hold for the connections that are open and for those that come; `cut` and `reset` hit
the open ones only.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

Direction = Literal["up", "down", "both"]
Filter = Callable[[bytes], bytes]

_RESET = struct.pack("ii", 1, 0)
_CHUNK = 65_536
# What may be on its way in one direction: enough for a long delay at full speed, little enough to push back.
_ON_ITS_WAY = 64
_CALL_S = 5.0


@dataclass(slots=True)
class Rules:
    """What happens to the bytes of one direction."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    slice_bytes: int | None = None
    swallow: bool = False
    filter: Callable[[], Filter] | None = None
    passes: asyncio.Event = field(default_factory=asyncio.Event)

    def clear(self) -> None:
        """Let everything pass as it is."""
        self.latency_s, self.jitter_s, self.bytes_per_s, self.slice_bytes = 0.0, 0.0, None, None
        self.swallow, self.filter = False, None
        self.passes.set()


@dataclass(eq=False)
class _Connection:
    near: socket.socket
    far: socket.socket
    work: "asyncio.Task[None] | None" = None
    reset: bool = True


class TcpProxy:
    """Listens on a port of its own and passes bytes on to a server. Use it as a context manager."""

    def __init__(self, host: str, port: int, listen_on: int = 0, *, seed: int = 0) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", listen_on))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._up, self._down = Rules(), Rules()
        self._connections: set[_Connection] = set()
        self._refusing = False
        self._dice = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._accepting: asyncio.Task[None] | None = None
        self.accepted = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_S)
        self._loop.close()
        self._listener.close()

    def url_of(self, url: str) -> str:
        """The URL of a server, by way of this proxy."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    # ── what may go wrong ────────────────────────────────────────────────────────────────────────────────────────

    def delay(self, latency_s: float, jitter_s: float = 0.0, direction: Direction = "both") -> None:
        """Hold every piece for so long, give or take up to `jitter_s`; the order stays."""
        self._rule(direction, latency_s=latency_s, jitter_s=jitter_s)

    def throttle(self, bytes_per_s: float | None, direction: Direction = "both") -> None:
        """Let so many bytes a second pass on each connection; None: as many as come."""
        self._rule(direction, bytes_per_s=bytes_per_s)

    def slice(self, slice_bytes: int | None, direction: Direction = "both") -> None:
        """Write in pieces of so many bytes; None: as they come."""
        self._rule(direction, slice_bytes=slice_bytes)

    def swallow(self, direction: Direction = "both") -> None:
        """Lose what comes, on connections that stay open. What was lost stays lost after `heal`."""
        self._rule(direction, swallow=True)

    def filter(self, made: Callable[[], Filter] | None, direction: Direction = "both") -> None:
        """Change what passes: `made` gives each connection and direction a function from bytes to bytes of its own.

        It holds for connections that are made from now on.
        """
        self._rule(direction, filter=made)

    def partition(self, direction: Direction = "both") -> None:
        """Let nothing pass, on open connections and on new ones; it arrives after `heal`, as with real TCP."""
        self._call(self._partition(direction))

    def refuse(self) -> None:
        """Reset every new connection at once."""
        self._refusing = True

    def heal(self) -> None:
        """End everything that was told above. Connections that were cut stay so."""
        self._call(self._heal())

    def cut(self) -> None:
        """Close every connection that is open now, in order (FIN)."""
        self._call(self._drop_all(reset=False))

    def reset(self) -> None:
        """Reset every connection that is open now (RST)."""
        self._call(self._drop_all(reset=True))

    # ── in the thread of the proxy ───────────────────────────────────────────────────────────────────────────────

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_S)

    def _ways(self, direction: Direction) -> list[Rules]:
        return [rules for name, rules in (("up", self._up), ("down", self._down)) if direction in {name, "both"}]

    def _rule(self, direction: Direction, **values: Any) -> None:
        for rules in self._ways(direction):
            for name, value in values.items():
                setattr(rules, name, value)

    async def _partition(self, direction: Direction) -> None:
        for rules in self._ways(direction):
            rules.passes.clear()

    async def _heal(self) -> None:
        self._refusing = False
        for rules in self._ways("both"):
            rules.clear()

    async def _begin(self) -> None:
        await self._heal()
        self._accepting = asyncio.ensure_future(self._accept())

    async def _end(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        await self._drop_all(reset=True)

    async def _drop_all(self, *, reset: bool) -> None:
        dropped = [connection.work for connection in self._connections if connection.work is not None]
        for connection in self._connections:
            connection.reset = reset
        for work in dropped:
            work.cancel()
        await asyncio.gather(*dropped, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            near, _ = await self._loop.sock_accept(self._listener)
            connection = _Connection(near, socket.socket())
            connection.work = asyncio.ensure_future(self._serve(connection))
            self._connections.add(connection)

    async def _serve(self, connection: _Connection) -> None:
        """Connect to the server and pass on both ways until either end is done."""
        near, far = connection.near, connection.far
        ways: list[asyncio.Task[None]] = []
        try:
            for end in (near, far):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._refusing:
                return
            await self._loop.sock_connect(far, self._target)
            self.accepted += 1
            ways = [
                asyncio.ensure_future(self._pass_on(near, far, self._up)),
                asyncio.ensure_future(self._pass_on(far, near, self._down)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for way in ways:
                way.cancel()
            # A second cancel must not keep the sockets from being closed.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*ways, return_exceptions=True)
            for end in (near, far):
                if connection.reset:
                    with contextlib.suppress(OSError):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.close()
            self._connections.discard(connection)

    async def _pass_on(self, source: socket.socket, sink: socket.socket, rules: Rules) -> None:
        """One direction: what is read now is written when it is due."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_ON_ITS_WAY)
        writing = asyncio.ensure_future(self._write(queue, sink, rules))
        change = rules.filter() if rules.filter is not None else None
        try:
            while data := await self._loop.sock_recv(source, _CHUNK):
                if change is not None:
                    data = change(data)
                if rules.swallow or not data:
                    continue
                late_s = rules.latency_s + self._dice.uniform(-rules.jitter_s, rules.jitter_s)
                await queue.put((self._loop.time() + max(0.0, late_s), data))
            await queue.put((0.0, b""))
            await writing
        except OSError:
            pass
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self, queue: "asyncio.Queue[tuple[float, bytes]]", sink: socket.socket, rules: Rules) -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if not data:
                return
            for piece in _pieces(data, rules):
                await rules.passes.wait()
                await self._loop.sock_sendall(sink, piece)
                if rules.bytes_per_s is not None:
                    await asyncio.sleep(len(piece) / rules.bytes_per_s)


def _pieces(data: bytes, rules: Rules) -> list[bytes]:
    """The data as it is to be written: small enough for the slices wanted, and for an even stream when throttled."""
    sizes = [len(data)]
    if rules.slice_bytes is not None:
        sizes.append(rules.slice_bytes)
    if rules.bytes_per_s is not None:
        sizes.append(max(1, int(rules.bytes_per_s / 50)))
    size = min(sizes)
    return [data[at : at + size] for at in range(0, len(data), size)]
