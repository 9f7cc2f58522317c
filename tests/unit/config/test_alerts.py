"""`[alerts]` as people write it."""

import pytest

from optimizer_config.alert_settings import AlertSettings, Quiet
from optimizer_config.errors import ConfigError
from optimizer_config.load import load

MAIL = 'host = "h"\nfrom = "a@b"\nto = ["c@d"]\n'


def read(tmp_path, text):
    file = tmp_path / "optimizer.toml"
    file.write_text(text)
    return load(str(file), {}).alerts


def test_defaults(tmp_path):
    """Without a word alerts are on, and tell nobody."""
    alerts = read(tmp_path, "")

    assert alerts == AlertSettings()
    assert (alerts.success_rate, alerts.p95_ms, alerts.hit_rate, alerts.sinks) == (0.99, None, None, ())


def test_quiet(tmp_path):
    """A quiet time is two times of day and a zone, like the times at which limits begin anew."""
    assert read(tmp_path, '[alerts]\nquiet = "22:00-7:30 Europe/Berlin"').quiet == Quiet(1320, 450, "Europe/Berlin")


def test_secrets_are_not_shown(tmp_path):
    """Neither the URL of a webhook nor what leads to it is in what is printed of a configuration."""
    text = '[[alerts.sinks]]\nkind = "webhook"\nurl = "https://u:pw@chat.example.org/hook/s3cret?k=s3cret"'
    shown = repr(read(tmp_path, text))

    assert not any(word in shown for word in ("s3cret", "pw", "chat.example.org"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[alerts]\nsucces_rate = 0.9", 'alerts.succes_rate is not a known key; did you mean "success_rate"?'),
        ("[alerts]\nsuccess_rate = 99", "alerts.success_rate must be a share from 0 to 1"),
        ('[alerts]\nquiet = "22-7"', 'alerts.quiet must be two times and a time zone, for example "22:00-07:00 UTC"'),
        ('[alerts]\nquiet = "22:00-07:00 Europe/Berln"', "alerts.quiet names the unknown time zone"),
        ('[alerts]\nquiet = "07:00-07:00 UTC"', "alerts.quiet begins when it ends"),
        ("[alerts]\nsinks = 5", r"alerts.sinks must be a list of tables, each written under \[\[alerts.sinks\]\]"),
        ("[[alerts.sinks]]", 'alerts."sinks\\[1\\]".kind is missing; it is one of webhook, email, desktop, command'),
        ('[[alerts.sinks]]\nkind = "mail"', 'must be one of "webhook", "email", "desktop", "command", got "mail"; did'),
        ('[[alerts.sinks]]\nkind = "desktop"\n' * 2, 'has two sinks called "desktop"'),
        ('[[alerts.sinks]]\nkind = "desktop"\nname = "event"', 'must consist of letters, .* not be "event"'),
        ('[[alerts.sinks]]\nkind = "desktop"\ntimeout_s = 500', "must be at most 120 seconds, got 500"),
        ('[[alerts.sinks]]\nkind = "webhook"\nurl = "ftp://h/s3cret"', r'got "ftp://h/\*\*\*"'),
        ('[[alerts.sinks]]\nkind = "webhook"\nurl = "http://h/"\nurl_env = "U"', "are both written; keep one"),
        (
            '[[alerts.sinks]]\nkind = "webhook"\nurl_env = "U"\nsecret = "s3cret"',
            "secret is a secret: write secret_file",
        ),
        ('[[alerts.sinks]]\nkind = "webhook"\nurl_env = "U"\nheader = "a b"', "must be the name of an HTTP header"),
        ('[[alerts.sinks]]\nkind = "email"\n', "host is missing"),
        (f'[[alerts.sinks]]\nkind = "email"\n{MAIL}password = "s3cret"', "password is a secret: write password_file"),
        (f'[[alerts.sinks]]\nkind = "email"\n{MAIL}port = 70000', "must be at most 65535"),
        ('[[alerts.sinks]]\nkind = "email"\n' + MAIL.replace("c@d", "c"), "must be a mail address"),
        ('[[alerts.sinks]]\nkind = "command"\nargv = "page"', "must be a program and its arguments"),
        ("[alerts.budgets]\nfleet = { usd_per_week = 5 }", "alerts.budgets.fleet.usd_per_week is not a known key"),
        ("[alerts.budgets]\nagents = 5", "alerts.budgets.agents must be a table"),
    ],
)
def test_mistakes(tmp_path, text, words):
    """A mistake is one sentence with the place, without any secret."""
    with pytest.raises(ConfigError, match=words) as raised:
        read(tmp_path, text)

    assert "s3cret" not in str(raised.value)
