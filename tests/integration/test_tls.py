"""TLS for RabbitMQ and Redis, with certificates of the test's own: verified, with clear words, and never plain text."""

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
import redis
from tests.support import newer
from tests.support.certificates import Authority
from tests.support.stack import Stack, wait_until
from typer.testing import CliRunner

from optimizer_client import AsyncOptimizer, Optimizer, OptimizerUnavailable
from optimizer_ops.cli import app
from optimizer_ops.services.probe import amqp_problem, redis_problem
from optimizer_ops.services.processes import free_port
from optimizer_ops.services.urls import ServiceUrls
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.session import Session

HOST = "IP:127.0.0.1"


@dataclass
class Tls:
    """A RabbitMQ with two listeners for TLS: one with the right host in its certificate, one with another."""

    authority: Authority
    stranger: Authority
    client: tuple[str, str]
    port: int
    wrong_port: int
    plain_port: int

    def url(self, *, port: int | None = None, ca: str | None = None, client: bool = True) -> str:
        query = {"cafile": ca or self.authority.certificate}
        if client:
            query |= {"certfile": self.client[0], "keyfile": self.client[1]}
        return f"amqps://guest:guest@127.0.0.1:{port or self.port}/?{urlencode(query)}"


@pytest.fixture(scope="module")
def tls(_private_rabbitmq):
    """The private broker listens on two more ports, and wants a certificate of its clients there."""
    server = _private_rabbitmq.start()
    authority, stranger = (Authority(server.folder / "tls" / name, name) for name in ("ours", "theirs"))
    ports = free_port(), free_port()
    for port, name, hosts in ((ports[0], "right", HOST), (ports[1], "wrong", "DNS:elsewhere.example")):
        signed = authority.sign(name, hosts=hosts)
        options = {"cacertfile": authority.certificate, "certfile": signed.certificate, "keyfile": signed.key}
        words = [f'{{{key},"{newer.as_seen(path)}"}}' for key, path in options.items()]
        words += ["{verify,verify_peer}", "{fail_if_no_peer_cert,true}"]
        server.ctl("eval", f"rabbit_networking:start_ssl_listener({port}, [{','.join(words)}], 1).")
    own = authority.sign("client")
    return Tls(authority, stranger, (own.certificate, own.key), *ports, server.port)


@pytest.fixture
def secured_redis(private_redis, tls):
    """A Redis that speaks nothing but TLS, and its URL without the files."""
    port, signed = free_port(), tls.authority.sign("redis", hosts=HOST)
    with redis.Redis.from_url(private_redis.url) as control:
        control.config_set("tls-cert-file", newer.as_seen(signed.certificate))
        control.config_set("tls-key-file", newer.as_seen(signed.key))
        control.config_set("tls-ca-cert-file", newer.as_seen(tls.authority.certificate))
        control.config_set("tls-port", port)
    return f"rediss://127.0.0.1:{port}/0"


async def refusal_of_asyncio(url: str) -> str:
    with pytest.raises(BrokerUnavailable) as caught:
        await Session.open(url, "t")
    return str(caught.value)


async def refusal_of_pika(url: str, prefix: str) -> str:
    def ask() -> str:
        with Optimizer("a", url=url, prefix=prefix, connect_timeout=0.7) as optimizer:
            with pytest.raises(OptimizerUnavailable) as caught:
                optimizer.chat("Hello", timeout=5)
            return str(caught.value)

    return await asyncio.to_thread(ask)


TROUBLE = {
    "another authority": (lambda tls: tls.url(ca=tls.stranger.certificate), "its certificate is not trusted ("),
    "another host": (lambda tls: tls.url(port=tls.wrong_port), "its certificate is for another host: "),
    "no client certificate": (
        lambda tls: tls.url(client=False),
        ("does not accept this client's certificate", "may want a certificate of this client"),
    ),
    "plain text there": (lambda tls: tls.url(port=tls.plain_port), "what listens there does not speak TLS."),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_trouble_is_told(tls, prefix, trouble):
    """What is wrong with a certificate is one sentence in both clients, and nothing is sent in plain text instead."""
    made, words = TROUBLE[trouble]
    for told in (await refusal_of_asyncio(made(tls)), await refusal_of_pika(made(tls), prefix)):
        assert any(each in told for each in ([words] if isinstance(words, str) else words)), told
        assert re.fullmatch(r"[^\n]+", told)


async def test_plain_text_is_not_understood(tls):
    """A client that speaks plain text to the port for TLS gets nowhere."""
    assert "cannot be reached" in await refusal_of_asyncio(f"amqp://guest:guest@127.0.0.1:{tls.port}/")


async def test_redis_trouble_is_told(tls, secured_redis):
    """Redis behind TLS is away, with the reason, for whoever does not trust it; it is asked once it is trusted."""
    for url, words in (
        (f"{secured_redis}?ssl_ca_certs={tls.stranger.certificate}", "its certificate is not trusted ("),
        (
            secured_redis.replace("127.0.0.1", "localhost") + f"?ssl_ca_certs={tls.authority.certificate}",
            "another host",
        ),
    ):
        store = Store(url, "t")
        with pytest.raises(RedisAway, match=re.escape(words)):
            await store.command("PING")
        await store.close()


def test_probes_know_tls(tls, secured_redis):
    """What looks whether the servers are there trusts them by the same files, and says what is wrong with them."""
    files = {"OPTIMIZER_TLS_CA_FILE": tls.authority.certificate}
    files |= {"OPTIMIZER_TLS_CERT_FILE": tls.client[0], "OPTIMIZER_TLS_KEY_FILE": tls.client[1]}
    named = {"OPTIMIZER_AMQP_URL": tls.url().partition("?")[0], "OPTIMIZER_REDIS_URL": secured_redis}

    urls = ServiceUrls.from_environ(named | files)
    assert (amqp_problem(urls.amqp_url), redis_problem(urls.redis_url)) == (None, None)
    files["OPTIMIZER_TLS_CA_FILE"] = tls.stranger.certificate
    urls = ServiceUrls.from_environ(named | files)
    for problem in (amqp_problem(urls.amqp_url), redis_problem(urls.redis_url)):
        assert problem.startswith("its certificate is not trusted (")


@pytest.mark.slow
def test_the_whole_line_over_tls(tls, secured_redis, prefix, tmp_path):
    """With files for all connections, processes, both clients, monitor and budgets work over nothing but TLS."""
    stack = Stack(tmp_path, tls.url().partition("?")[0], secured_redis, prefix)
    files = {"ca": tls.authority.certificate, "cert": tls.client[0], "key": tls.client[1]}
    environment = {f"OPTIMIZER_TLS_{word.upper()}_FILE": path for word, path in files.items()}
    stack.extra = "[tls]\n" + "\n".join(f'{word}_file = "{path}"' for word, path in files.items())
    stack.simulate("alpha")
    try:
        stack.start()
        monitor = stack.launch("events", "optimizer_ops", "events", "--count", "1", "optimizer.cache.*")
        wait_until(lambda: "listening" in monitor.text(), "the monitor")
        with pytest.MonkeyPatch.context() as patch:
            for name, path in environment.items():
                patch.setenv(name, path)
            with Optimizer("a", url=stack.amqp_url, prefix=prefix) as optimizer:
                assert optimizer.chat("Is this secret?", timeout=20).source == "backend"
            assert asyncio.run(_ask(stack)) == "cache"
            patch.setenv("OPTIMIZER_REDIS_URL", secured_redis)
            patch.setenv("OPTIMIZER_PREFIX", prefix)
            shown = CliRunner().invoke(app, ["budgets", "--json", "--config", str(tmp_path / "optimizer.toml")])
        assert (shown.exit_code, '"alpha"' in shown.stdout) == (0, True)
        assert monitor.process.wait(10) == 0
    finally:
        stack.close()


async def _ask(stack) -> str:
    async with AsyncOptimizer("a", url=stack.amqp_url, prefix=stack.prefix) as optimizer:
        return (await optimizer.chat("Is this secret?", timeout=20)).source
