"""Secrets are planted everywhere, things go well and wrong, and then everything is searched for them."""

import asyncio
import base64
import json
import threading
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pika
import psutil
import pytest
import redis
from tests.support.leftovers import delete_keys
from tests.support.stack import Stack, wait_until

from optimizer_client import AsyncOptimizer, OptimizerError
from optimizer_wire.topology import Names, backend_topology, shared_topology

# None of them looks like a key: whoever hides only what begins with "sk-" is found out.
KEYS = {kind: f"Vault{kind}Petrichor{number}Quagmire" for number, kind in enumerate(("Env", "File", "Credential"), 11)}
HEADER, WEBHOOK = "VaultHeaderLimerence77Zephyr", "VaultHookSonder88Apricity"
AMQP, REDIS, TOKEN = "VaultAmqpEunoia44Serein", "VaultRedisHiraeth55Komorebi", "VaultTokenOrphic66Nefelibata"
SECRETS = (*KEYS.values(), HEADER, WEBHOOK, AMQP, REDIS, TOKEN)
WRONG = "VaultWrongSaudade99Ineffable"


class Echo(BaseHTTPRequestHandler):
    """A backend that says back what it was sent, as servers in trouble do; the first word of the prompt is its mood."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        mood = body["messages"][-1]["content"].split()[0]
        key = self.headers["authorization"].removeprefix("Bearer ")
        text = json.dumps(dict(self.headers))
        said = {
            "well": (200, {"model": "m", "choices": [choice("stop")], "usage": {"prompt_tokens": 3}}),
            "shows": (200, {"model": key, "choices": [choice(key)], "usage": {"prompt_tokens": 3, "note": key}}),
            "refused": (401, {"error": {"message": f"Incorrect API key provided: {key}.", "code": key, "type": key}}),
            "cut": (400, {"error": {"message": "x" * 225 + key, "type": "invalid_request_error"}}),
            "broken": (500, {"error": {"message": f"Traceback: headers={text}", "type": HEADER}}),
            "late": (200, {"error": {"message": text, "code": key}}),
            "odd": (429, {"error": {"message": text, "code": key.upper(), "details": [{"reason": WEBHOOK}]}}),
        }
        status, answer = said[mood]
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(payload)))
        self.send_header("retry-after", "0")
        self.send_header("x-request-id", key)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def choice(reason):
    """An answer that ended for this reason."""
    return {"message": {"role": "assistant", "content": "fine"}, "finish_reason": reason}


@contextmanager
def echoing():
    """The URL of such a backend."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def deployment(tmp_path, private_rabbitmq, private_redis):
    """A deployment whose keys, passwords and token come from the environment, files and credentials."""
    user = "vault-user"
    if user not in private_rabbitmq.ctl("list_users"):
        private_rabbitmq.ctl("add_user", user, AMQP)
        private_rabbitmq.ctl("set_permissions", user, ".*", ".*", ".*")
    with redis.Redis.from_url(private_redis.url) as client:
        client.config_set("requirepass", REDIS)
    prefix = f"t-{uuid.uuid4().hex[:12]}"
    amqp_url = private_rabbitmq.url.replace("guest:guest", f"{user}:{AMQP}")
    redis_url = private_redis.url.replace("redis://", f"redis://:{REDIS}@")
    stack = Stack(tmp_path, amqp_url, redis_url, prefix, extra="[waits]\nretry_s = [0.1]\n")
    with echoing() as url:
        for name in (*KEYS, "Away"):
            base_url = "http://127.0.0.1:1/v1" if name == "Away" else url
            headers = {"x-internal": HEADER, "x-webhook-signature": WEBHOOK}
            stack.backends[name.lower()] = {
                "api": "openai",
                "base_url": base_url,
                "models": ["m"],
                "kind": "paid",
                "api_key_env": f"VAULT_{name.upper()}",
                "headers": headers,
            }
        yield stack
    stack.close()
    delete_keys(redis_url, prefix)


def start(stack, folder):
    """Each worker with its key from another place; URLs and the token from files and credentials."""
    for name, text in (("file", KEYS["File"]), ("amqp", stack.amqp_url), ("token", TOKEN)):
        (folder / f"{name}.secret").write_text(text)
    credentials = folder / "credentials"
    credentials.mkdir()
    (credentials / "credential").write_text(KEYS["Credential"])
    (credentials / "redis_url").write_text(stack.redis_url)
    files = {
        "OPTIMIZER_AMQP_URL": "",
        "OPTIMIZER_AMQP_URL_FILE": str(folder / "amqp.secret"),
        "OPTIMIZER_REDIS_URL": "",
    }
    common = {"OPTIMIZER_ADMIN_TOKEN": TOKEN, "CREDENTIALS_DIRECTORY": str(credentials), "OPTIMIZER_LOG_LEVEL": "debug"}
    stack.configure()
    started = [
        stack.worker("env", VAULT_ENV=KEYS["Env"], **common),
        stack.worker("file", VAULT_FILE_FILE=str(folder / "file.secret"), **common, **files),
        stack.worker("credential", **common, **files),
        stack.worker("away", VAULT_AWAY=KEYS["Env"], **common),
        stack.coordinator(**common, **files),
    ]
    stack.ready(*started)
    return started


def admin(running, path):
    """What the admin port says, with the token and without."""
    url = next(json.loads(line)["url"] for line in running.text().splitlines() if '"event": "admin"' in line)
    request = urllib.request.Request(f"{url}{path}", headers={"Authorization": f"Bearer {TOKEN}"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}{path}", timeout=5)
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.read()


def in_redis(url):
    """All keys and values."""
    with redis.Redis.from_url(url) as client:
        read = {b"hash": client.hgetall, b"string": client.get, b"zset": lambda key: client.zrange(key, 0, -1)}
        read |= {b"list": lambda key: client.lrange(key, 0, -1), b"set": client.smembers}
        return repr([(key, read[client.type(key)](key)) for key in client.scan_iter()]).encode()


class Ear:
    """Hears all events of a deployment, and reads its queues."""

    def __init__(self, stack) -> None:
        self._names, self._backends = Names(stack.prefix), stack.backends
        self._connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_url))
        self._channel = self._connection.channel()
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.exchange_declare(self._names.events, "topic", durable=True)
        self._channel.queue_bind(self._queue, self._names.events, "#")

    def heard(self) -> dict[str, bytes]:
        """Headers, properties and bodies of everything."""
        topology = (*shared_topology(self._names).queues, *backend_topology(self._names, self._backends).queues)
        found = {}
        for name in (self._queue, *(queue.name for queue in topology)):
            parts = []
            while (got := self._channel.basic_get(name))[0] is not None:
                parts.append(repr(got).encode() + got[2])
            found[name] = b"\n".join(parts)
        self._connection.close()
        return found


async def ask(stack):
    """Go through every mood with every backend; returns what agents were told."""
    told = []
    async with AsyncOptimizer("vault", url=stack.amqp_url, prefix=stack.prefix) as client:
        assert AMQP not in repr(client)

        async def one(backend, mood):
            try:
                reply = await client.chat(f"{mood} {backend}", model=backend, timeout=12, cache="refresh")
            except OptimizerError as error:
                told.append(f"{error!r} {error} {error.info}")
            else:
                told.append(f"{reply.backend} {reply.model} {reply.usage}")

        moods = ("well", "shows", "refused", "cut", "broken", "late", "odd")
        # A refused key parks its backend, so that it comes last.
        for mood in sorted(moods, key=lambda each: each == "refused"):
            await asyncio.gather(*(one(name.lower(), mood) for name in KEYS))
        await one("away", "well")
    return told


def fail_to_start(stack, folder):
    """Processes with a wrong password, a wrong file, an unusable URL; returns them."""
    wrong_amqp = stack.amqp_url.replace(AMQP, WRONG)
    wrong_redis = stack.redis_url.replace(REDIS, WRONG)
    (folder / "two-lines").write_text(f"{WRONG}\n{WRONG}")
    cases = [
        ("coordinator", {"OPTIMIZER_AMQP_URL": wrong_amqp}),
        ("coordinator", {"OPTIMIZER_AMQP_URL": f"{wrong_amqp}?heartbeat={WRONG}"}),
        ("coordinator", {"OPTIMIZER_AMQP_URL": f"http://u:{WRONG}@h/"}),
        ("coordinator", {"OPTIMIZER_REDIS_URL": f"redis://:{WRONG}@127.0.0.1:1/0?socket_timeout={WRONG}"}),
        ("coordinator", {"OPTIMIZER_ADMIN_TOKEN": f"{WRONG} {WRONG}"}),
        ("budgets", {"OPTIMIZER_REDIS_URL": wrong_redis}),
        ("topology", {"OPTIMIZER_AMQP_URL": wrong_amqp}),
        ("events", {"OPTIMIZER_AMQP_URL": wrong_amqp}),
    ]
    started = [stack.launch(f"wrong/{command}", "optimizer_ops", command, environment=env) for command, env in cases]
    key = {"VAULT_FILE_FILE": str(folder / "two-lines")}
    started.append(stack.launch("wrong/worker", "optimizer_ops", "worker", "file", environment=key))
    redis_away = {"VAULT_ENV": KEYS["Env"], "OPTIMIZER_REDIS_URL": wrong_redis}
    started.append(stack.launch("wrong/redis", "optimizer_ops", "worker", "env", environment=redis_away))
    return started


def trouble(running):
    """Whether a process has said what it lacks, or left."""
    text = running.text()
    return "rabbitmq unavailable" in text or "redis is away" in text or running.process.poll() is not None


def forms(secret):
    """How a secret may be written."""
    return (secret.encode(), secret.lower().encode(), secret.upper().encode(), base64.b64encode(secret.encode()))


@pytest.mark.slow
async def test_no_secret_is_shown(deployment, tmp_path):
    """No key, password or token is in a log, an event, a metric, Redis, a queue, a process list or an error reply."""
    stack = deployment
    ear = Ear(stack)
    started = start(stack, tmp_path)
    told = await ask(stack)
    wrong = fail_to_start(stack, tmp_path)
    for running in wrong:
        wait_until(lambda running=running: trouble(running), f"trouble of {running.name}", 60)
    # A fault of ours, with its traceback: Redis holds something else than it should.
    with redis.Redis.from_url(stack.redis_url) as client:
        client.hset(f"{stack.prefix}:outlooks", "env x", "no outlook")
    wait_until(lambda: any("Traceback" in running.text() for running in started), "a traceback")
    found = {f"log of {running.name}": running.output.read_bytes() for running in stack.running}
    found |= {f"{running.name}{path}": admin(running, path) for running in started for path in ("/metrics", "/readyz")}
    processes = [psutil.Process(running.process.pid) for running in started]
    found |= {f"arguments of {process.pid}": repr(process.cmdline()).encode() for process in processes}
    found |= {f"queue {name}": text for name, text in ear.heard().items()}
    found |= {"Redis": in_redis(stack.redis_url), "error replies": "\n".join(told).encode()}

    assert len(told) == 3 * 7 + 1
    assert sum(len(text) for name, text in found.items() if name.startswith("queue")) > 10_000
    shown = [
        (where, secret, text[max(0, text.find(form) - 150) : text.find(form) + 50])
        for where, text in found.items()
        for secret in (*SECRETS, WRONG)
        for form in forms(secret)
        if form in text and not (where == "Redis" and form == forms(WRONG)[0])
    ]
    assert not shown, shown
