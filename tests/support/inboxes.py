"""A mail server and a web server of a test's own: what comes to them is kept."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


@dataclass
class Hook:
    """A web server. `status` is what it answers, `delay_s` how long it takes."""

    url: str = ""
    status: int = 200
    delay_s: float = 0.0
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)


@contextmanager
def web_server() -> Iterator[Hook]:
    """A web server that takes what is posted to it."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if hook.delay_s:
                ended.wait(hook.delay_s)
            if hook.status < 300:
                hook.headers.append(dict(self.headers))
                hook.bodies.append(json.loads(body))
            self.send_response(hook.status)
            if hook.status == 307:
                self.send_header("Location", hook.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    ended = Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.url = f"http://127.0.0.1:{server.server_port}/hook/s3cret"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hook
    finally:
        ended.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


@dataclass
class Mailbox:
    """A mail server. It knows `user` with `password`, and refuses mail for `stranger@…`."""

    port: int = 0
    user: str = "optimizer"
    password: str = "pa55 word"
    mails: list[Message] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    tls: list[bool] = field(default_factory=list)
    loop: Any = None

    def authenticate(self, _server, _session, _envelope, _mechanism, data):
        known = isinstance(data, LoginPassword) and data.password.decode() == self.password
        if known:
            self.logins.append(data.login.decode())
        return AuthResult(success=known, handled=False)

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 - the library's name
        if address.startswith("stranger@"):
            return "550 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, _session, envelope):  # noqa: N802 - the library's name
        self.mails.append(message_from_bytes(envelope.content))
        self.tls.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 taken"


@contextmanager
def mail_server(certificate: Any = None, *, implicit: bool = False, login: bool = False) -> Iterator[Mailbox]:
    """A mail server; with a certificate it wants STARTTLS, or speaks TLS from the start (`implicit`)."""
    box = Mailbox()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
    options = {"hostname": "localhost"}
    if login:
        options |= {
            "authenticator": box.authenticate,
            "auth_required": True,
            "auth_require_tls": bool(context) and not implicit,
        }
    if context is not None and not implicit:
        options |= {"tls_context": context, "require_starttls": True}
    ready, ends = Event(), asyncio.Event()

    async def serve():
        loop = asyncio.get_running_loop()
        box.loop = loop
        within = context if implicit else None
        server = await loop.create_server(lambda: SMTP(box, loop=loop, **options), "127.0.0.1", 0, ssl=within)
        box.port = server.sockets[0].getsockname()[1]
        ready.set()
        await ends.wait()
        server.close()

    # A loop in a thread: whoever asks may itself be in one.
    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20), "the mail server did not start"
    try:
        yield box
    finally:
        box.loop.call_soon_threadsafe(ends.set)
        thread.join(20)
