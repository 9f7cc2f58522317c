"""What a soak may leave behind in RabbitMQ and Redis once nobody asks anything, and what it may not."""

import json
import re
from collections import Counter

import redis
from tests.lab.laboratory import Laboratory
from tests.support.servers import PrivateRabbitMQ

from optimizer_wire.topology import Names, backend_topology, shared_topology

# An owner's reply queue goes by itself ten minutes after it has left.
_EXPIRING = "x-expires"


def connections(rabbitmq: PrivateRabbitMQ, live: int) -> list[str]:
    """What is wrong with the connections that are open: each live process needs two at the most."""
    listed = rabbitmq.ctl("list_connections", "--formatter", "json", "pid", "client_properties")
    count = len(json.loads(listed))
    return [f"{count} connections of {live} live processes are open"] if count > 2 * live else []


def queues(rabbitmq: PrivateRabbitMQ, lab: Laboratory) -> list[str]:
    """Queues that nobody would ever remove, and what lies in them."""
    names = Names(lab.stack.prefix)
    ours = [*shared_topology(names).queues, *backend_topology(names, lab.stack.backends).queues]
    lasting = {queue.name for queue in ours}
    found = []
    listed = rabbitmq.ctl(
        "list_queues", "--formatter", "json", "name", "messages", "arguments", "auto_delete", "exclusive"
    )
    for queue in json.loads(listed):
        if not queue["name"].startswith(f"{lab.stack.prefix}."):
            continue
        goes = queue["auto_delete"] or queue["exclusive"] or _EXPIRING in json.dumps(queue["arguments"])
        if queue["name"] not in lasting and not goes:
            found.append(f"the queue {queue['name']} would stay for ever")
    return found


def keys(url: str, prefix: str) -> tuple[list[str], Counter[str]]:
    """Keys that should be gone, and how many there are of each kind (`+ttl`: they go by themselves)."""
    kinds: Counter[str] = Counter()
    found = []
    with redis.Redis.from_url(url, decode_responses=True, encoding_errors="replace") as client:
        for key in client.scan_iter(match=f"{prefix}:*", count=1000):
            kind = _kind(key.removeprefix(f"{prefix}:"))
            lasting = client.ttl(key) == -1
            kinds[kind + ("" if lasting else " +ttl")] += 1
            if kind == "flight":
                flight = {name: value for name, value in client.hgetall(key).items() if not name.startswith("w:")}
                found.append(f"the flight {key} is open, and nobody waits: {flight}")
    # What stays for ever must not be as many as there were requests.
    for kind, count in kinds.items():
        if not kind.endswith("+ttl") and count > 100:
            found.append(f"{count} keys of the kind {kind!r} have no time to live")
    return found, kinds


def _kind(name: str) -> str:
    """The kind of a key: what is left of its name without what it is about."""
    rest = re.sub(r"\{[^}]*\}:?", lambda tag: "backend:" if tag[0].startswith("{backend:") else "", name)
    return re.sub(r"^(done|id|window|places|mark)\b.*", r"\1", rest.removeprefix("backend:"), flags=re.DOTALL) or name
