"""What a private RabbitMQ can be told to do to its clients; each is taken back at the end, for others use it too."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pamqp.commands import Basic
from tests.support.servers import PrivateRabbitMQ

_WATERMARK = "0.4"


@contextmanager
def memory_alarm(server: PrivateRabbitMQ) -> Iterator[Callable[[], None]]:
    """An alarm: nobody who publishes is read. Yields what ends it before the end."""
    server.ctl("set_vm_memory_high_watermark", "0")

    def end() -> None:
        server.ctl("set_vm_memory_high_watermark", _WATERMARK)

    try:
        yield end
    finally:
        end()


@contextmanager
def max_length(server: PrivateRabbitMQ, queues: str, length: int) -> Iterator[None]:
    """At most so many messages are ready in the queues whose names match."""
    name = f"short-{queues}"
    server.ctl("set_policy", "--apply-to", "queues", name, queues, json.dumps({"max-length": length}))
    try:
        yield
    finally:
        server.ctl("clear_policy", name)


@contextmanager
def consumer_timeout(server: PrivateRabbitMQ, timeout_s: float) -> Iterator[None]:
    """On channels opened from now on a message may be kept for so long only; looked at every second."""
    before = server.ctl("eval", "{application:get_env(rabbit, consumer_timeout), rabbit_misc:version()}.")
    _set_env(server, "channel_tick_interval", 1000)
    _set_env(server, "consumer_timeout", round(timeout_s * 1000))
    try:
        yield
    finally:
        assert "ok" in before
        _set_env(server, "channel_tick_interval", 60_000)
        _set_env(server, "consumer_timeout", 1_800_000)


def _set_env(server: PrivateRabbitMQ, name: str, value: int) -> None:
    server.ctl("eval", f"application:set_env(rabbit, {name}, {value}).")


class DeliveryEater:
    """A filter for what a broker sends (`TcpProxy.filter(eater.made, "down")`): while `eats`, deliveries vanish."""

    def __init__(self) -> None:
        self.eats = False
        self.eaten = 0

    def made(self) -> Callable[[bytes], bytes]:
        """A filter for one connection."""
        rest = bytearray()
        vanishing: set[int] = set()

        def passed(data: bytes) -> bytes:
            rest.extend(data)
            out = bytearray()
            # Type, channel, size, payload, end.
            while len(rest) >= 7 and len(rest) >= (size := 8 + int.from_bytes(rest[3:7], "big")):
                frame = bytes(rest[:size])
                del rest[:size]
                if self._passes(frame, vanishing):
                    out += frame
            return bytes(out)

        return passed

    def _passes(self, frame: bytes, vanishing: set[int]) -> bool:
        channel = int.from_bytes(frame[1:3], "big")
        if frame[0] == 1:
            vanishing.discard(channel)
            deliver = frame[7:11] == Basic.frame_id.to_bytes(2, "big") + Basic.Deliver.frame_id.to_bytes(2, "big")
            if deliver and self.eats:
                self.eaten += 1
                vanishing.add(channel)
        return channel not in vanishing or frame[0] == 8
