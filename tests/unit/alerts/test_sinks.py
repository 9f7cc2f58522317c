"""How people are told: by real web and mail servers, and real programs."""

import json
import sys
import time
from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.inboxes import mail_server, web_server

from optimizer_config.errors import ConfigError
from optimizer_config.load import load
from optimizer_ops.alerts.message import Message, message_of, trial
from optimizer_ops.alerts.notices import Notice
from optimizer_ops.alerts.sinks.build import build
from optimizer_ops.alerts.sinks.sink import NotTold, PartlyTold
from optimizer_ops.history.views import AlertRow

# The mail server of the tests speaks TLS before it could ask for it.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of an authority of one's own."""
    authority = Authority(tmp_path_factory.mktemp("authority"), "test")
    return authority.certificate, authority.sign("server", hosts="IP:127.0.0.1")


def told(name="optimizer.rate_limit", subject="groq", what="raised", until=None, severity="critical", number=1, **more):
    alert = AlertRow(
        id=f"a{number}",
        name=name,
        subject=subject,
        severity=severity,
        since=0.0,
        until=until,
        value=11.0,
        threshold=10.0,
        message="groq refused 11 calls for their rate in the last 5 min.",
    )
    return Notice(id=f"n{number}{what}", alert_id=alert.id, sink="s", what=what, at=0.0, due=0.0, alert=alert, **more)


MESSAGE = message_of([told()], "optimizer")


def sink(tmp_path, text, environ=None):
    file = tmp_path / "optimizer.toml"
    file.write_text(f"[[alerts.sinks]]\n{text}")
    (found,) = load(str(file), environ or {}).alerts.sinks
    return build(found, environ or {})


async def test_webhook(tmp_path):
    """A webhook gets JSON with a text for people and the alert for programs, and the secret in its header."""
    (tmp_path / "secret").write_text("Bearer abc def\n")
    with web_server() as hook:
        text = 'kind = "webhook"\nurl_env = "HOOK"\nsecret_file = "secret"\nheader = "X-Key"\n'
        await sink(tmp_path, text, {"HOOK": hook.url}).tell(MESSAGE)
        await sink(tmp_path, f'kind = "webhook"\nurl = "{hook.url}"\nformat = "slack"\n').tell(MESSAGE)

    body, slack = hook.bodies
    assert (hook.headers[0]["X-Key"], hook.headers[0]["Idempotency-Key"]) == ("Bearer abc def", MESSAGE.id)
    assert body["alerts"][0]["name"] == "optimizer.rate_limit"
    assert (body["alerts"][0]["state"], body["severity"], body["deployment"]) == ("open", "critical", "optimizer")
    assert body["text"] == slack["text"] == MESSAGE.text
    assert list(slack) == ["text"]


@pytest.mark.parametrize("status", [307, 401, 500])
async def test_webhook_refused(tmp_path, status):
    """An answer other than 2xx means that it was not told; a redirect is not followed, and no secret is shown."""
    with web_server() as hook:
        hook.status = status
        with pytest.raises(NotTold, match=f"http://127.0.0.1:.* HTTP status {status}") as raised:
            await sink(tmp_path, f'kind = "webhook"\nurl = "{hook.url}"\n').tell(MESSAGE)

    assert "s3cret" not in str(raised.value)
    assert hook.bodies == []


async def test_webhook_away(tmp_path):
    """A webhook that does not answer in time, or where nobody listens, is told in a sentence without the secret."""
    with web_server() as hook:
        hook.delay_s = 5
        with pytest.raises(NotTold, match=r"did not answer within 0\.2 s"):
            await sink(tmp_path, f'kind = "webhook"\nurl = "{hook.url}"\ntimeout_s = 0.2\n').tell(MESSAGE)
    with pytest.raises(NotTold, match="cannot be reached: Connection refused") as raised:
        await sink(tmp_path, f'kind = "webhook"\nurl = "{hook.url}"\n').tell(MESSAGE)
    assert "s3cret" not in str(raised.value)


MAIL = 'kind = "email"\nhost = "127.0.0.1"\nfrom = "optimizer@example.org"\nto = ["night@example.org"]\n'


async def test_mail(tmp_path):
    """A mail names in its subject what is wrong, and is one that nobody on holiday answers."""
    with mail_server() as box:
        await sink(tmp_path, f'{MAIL}port = {box.port}\nsecurity = "none"\n').tell(MESSAGE)

    (mail,) = box.mails
    assert mail["Subject"] == "[optimizer] critical: rate_limit of groq"
    assert (mail["To"], mail["Auto-Submitted"], mail["Importance"]) == ("night@example.org", "auto-generated", "high")
    assert mail["Message-ID"] == f"<{MESSAGE.id}@example.org>"
    assert "groq refused 11 calls" in mail.get_payload()
    assert "What to do:" in mail.get_payload()


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mail_encrypted(tmp_path, certificate, security):
    """Mail goes over STARTTLS or TLS from the start, with a login; whose certificate is not known gets nothing."""
    authority, own = certificate
    known = f'{MAIL}security = "{security}"\nuser = "optimizer"\npassword_env = "PW"\n'
    with mail_server(own, implicit=security == "tls", login=True) as box:
        where = f"{known}port = {box.port}\n"
        await sink(tmp_path, f'{where}ca_file = "{authority}"\n', {"PW": box.password}).tell(MESSAGE)
        with pytest.raises(NotTold, match="CERTIFICATE_VERIFY_FAILED"):
            await sink(tmp_path, where, {"PW": box.password}).tell(MESSAGE)
        with pytest.raises(NotTold, match=r"refused the login of optimizer \(SMTP 535\)") as raised:
            await sink(tmp_path, f'{where}ca_file = "{authority}"\n', {"PW": "wr0ng"}).tell(MESSAGE)

    assert (box.logins, box.tls, len(box.mails)) == (["optimizer"], [True], 1)
    assert "wr0ng" not in str(raised.value)


async def test_mail_refused(tmp_path):
    """Mail that is taken for nobody was not told; if it is taken for some, only the others are named."""
    with mail_server() as box:
        where = f'port = {box.port}\nsecurity = "none"\n'
        both = MAIL.replace('["night', '["stranger@example.org", "night')
        with pytest.raises(PartlyTold, match=r"no mail for stranger@example\.org; the others got it"):
            await sink(tmp_path, both + where).tell(MESSAGE)
        with pytest.raises(NotTold, match=r"takes mail for none of stranger@example\.org"):
            await sink(tmp_path, MAIL.replace("night@", "stranger@") + where).tell(MESSAGE)
    assert len(box.mails) == 1
    with pytest.raises(NotTold, match=r"Mail cannot be sent through 127\.0\.0\.1:\d+: .*refused"):
        await sink(tmp_path, MAIL + where).tell(MESSAGE)


async def test_command(tmp_path):
    """A program gets the message as JSON on its standard input, and its words are not shown."""
    out = tmp_path / "out"
    program = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read()); print('hello')"
    await sink(tmp_path, f'kind = "command"\nargv = {json.dumps([sys.executable, "-c", program])}\n').tell(MESSAGE)

    assert json.loads(out.read_text()) == json.loads(MESSAGE.as_json())


async def test_command_that_fails(tmp_path):
    """A program that fails, or is not there, was not told; one that does not end is killed with its children."""
    started = tmp_path / "pid"
    endless = ["sh", "-c", f"sleep 60 & echo $! > {started}; wait"]
    for argv, words in (
        (["false"], "false ended with 1"),
        (["no-such-program"], "no-such-program is not installed"),
        ([str(tmp_path)], "cannot be started: Permission denied"),
        (endless, r"sh did not end within 0\.5 s; it was killed"),
    ):
        with pytest.raises(NotTold, match=words):
            await sink(tmp_path, f'kind = "command"\nargv = {json.dumps(argv)}\ntimeout_s = 0.5\n').tell(MESSAGE)
    child, end = int(started.read_text()), time.monotonic() + 5
    while is_running(child):
        assert time.monotonic() < end


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


async def test_desktop(tmp_path, monkeypatch):
    """A notification has title, lines and urgency; without `notify-send` a sentence says what to install."""
    out = tmp_path / "out"
    program = tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {out}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    await sink(tmp_path, 'kind = "desktop"\n').tell(MESSAGE)
    assert out.read_text().splitlines()[:4] == ["--app-name=optimizer", "--urgency=critical", "--", MESSAGE.title]
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(NotTold, match=r"notify-send is not installed \(Debian: libnotify-bin\)"):
        await sink(tmp_path, 'kind = "desktop"\n').tell(MESSAGE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('kind = "webhook"\n', 'The sink "webhook" .* has no URL: write url, url_file or url_env'),
        ('kind = "webhook"\nurl_env = "HOOK"\n', "the environment variable HOOK is not set"),
        ('kind = "webhook"\nurl_file = "none"\n', "none cannot be read"),
        (f'{MAIL}user = "u"\n', "has a user and no password"),
        (f'{MAIL}ca_file = "none"\n', "which cannot be used: No such file"),
    ],
)
def test_secrets_that_are_not_there(tmp_path, text, words):
    """A secret that is not where it is said to be is a sentence, before anything is watched."""
    with pytest.raises(ConfigError, match=words):
        sink(tmp_path, text)


def test_systemd_credentials(tmp_path):
    """The URL of a webhook may be a systemd credential, named after the sink."""
    (tmp_path / "alerts_hook_url").write_text("http://127.0.0.1/x\n")

    assert sink(tmp_path, 'kind = "webhook"\nname = "hook"\n', {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_one_message_of_many():
    """All that is to be told at a time is one message: each alert once, as it was last, open and severe ones first."""
    told_ = [
        told(number=1, severity="warning", subject="mine"),
        told(number=2, what="raised"),
        told(number=2, what="cleared", until=600.0),
        told(number=3, subject="other"),
        told(number=1, what="escalated", severity="warning", subject="mine"),
    ]
    message = message_of(told_, "opt")

    assert message.title == "[opt] 2 alerts, 1 critical; 1 cleared"
    assert [(each["subject"], each["state"]) for each in message.alerts] == [
        ("other", "open"),
        ("mine", "open"),
        ("groq", "cleared"),
    ]
    assert "open for 10 min since 1970-01-01 00:00:00 UTC" in message.text
    assert "Nobody was told before." in message.text
    assert message.severity == "critical"
    assert message_of(told_, "opt").id == message.id
    assert message_of(told_[1:], "opt").id != message.id


def test_message_on_one_line():
    """What an agent or a backend calls itself cannot add a line to a mail's header or a terminal."""
    evil = message_of([told(subject="groq\r\nBcc: all@example.org\x1b[2J")], "opt")

    assert all(line.isprintable() for line in (evil.title, *evil.lines))


def test_trial():
    """The message of a test says that nothing is wrong."""
    message = trial("opt", 0.0)

    assert isinstance(message, Message)
    assert "nothing is wrong" in message.text
