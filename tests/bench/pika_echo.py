"""The other thing that everything is measured beside: an echo RPC as a user of pika writes it.

Client and server are one process each, a BlockingConnection with callbacks; queues, prefetch and acks as in `echo.py`.

    python -m tests.bench.pika_echo serve|ask AMQP_URL QUEUE
"""

import sys
import time
import uuid

import pika  # type: ignore[import-untyped]
from tests.bench import child
from tests.bench.echo import PREFETCH
from tests.bench.questions import PROMPT_CHARS
from tests.bench.sample import Sample, sample


def serve(url: str, queue: str) -> None:
    """Echo until the process is ended."""
    channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    channel.queue_declare(queue, auto_delete=True)

    def echo(channel, delivery, properties, body) -> None:
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, body, reply)
        channel.basic_ack(delivery.delivery_tag)

    channel.basic_consume(queue, echo)
    print('{"event": "ready"}', flush=True)
    channel.start_consuming()


def ask(url: str, queue: str, in_flight: int, seconds: float) -> Sample:
    """One stretch of a closed loop on a connection of its own: the answer to one question lets the next one go."""
    # Between stretches nobody would read the heartbeats of a connection that blocks.
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    replies = channel.queue_declare("", exclusive=True).method.queue
    asked: dict[str, float] = {}
    latencies_s: list[float] = []
    body = b"x" * PROMPT_CHARS

    def send() -> None:
        name = uuid.uuid4().hex
        asked[name] = time.perf_counter()
        channel.basic_publish("", queue, body, pika.BasicProperties(reply_to=replies, correlation_id=name))

    def received(_channel, _delivery, properties, _body) -> None:
        now = time.perf_counter()
        latencies_s.append(now - asked.pop(properties.correlation_id))
        if now < end:
            send()
        elif not asked:
            channel.stop_consuming()

    channel.basic_consume(replies, received, auto_ack=True)
    began = time.perf_counter()
    end = began + seconds
    for _ in range(in_flight):
        send()
    channel.start_consuming()
    found = sample(latencies_s, time.perf_counter() - began)
    connection.close()
    return found


if __name__ == "__main__":
    role, *where = sys.argv[1:4]
    if role == "serve":
        serve(*where)
    else:
        child.answer(lambda in_flight, seconds: ask(*where, in_flight, seconds))
