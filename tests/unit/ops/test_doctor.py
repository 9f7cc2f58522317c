"""What the doctor finds without any service: keys, limits, this machine."""

import msgspec
import pytest
from tests.unit.ops.test_status_page import drawn

from optimizer_config.load import load
from optimizer_ops.doctor import keys, limits, machine, rights
from optimizer_ops.doctor.render import shown
from optimizer_ops.live.status import BackendStatus, LiveStatus, Service
from optimizer_ops.permissions.rights import rights_of

SERVICE = Service(name="x", url="x://here", there=True)


@pytest.fixture
def configured(tmp_path):
    """Loads a configuration from its text."""

    def configure(text):
        file = tmp_path / "optimizer.toml"
        file.write_text(text)
        return load(str(file), {})

    return configure


def live(*names, workers=0):
    """What is seen of these backends."""
    backends = [
        BackendStatus(name=name, label=name, kind="free", configured=True, routes=[], models=["m"], workers=workers)
        for name in names
    ]
    return LiveStatus(at=0.0, prefix="p", rabbitmq=SERVICE, redis=SERVICE, backends=backends, queues=[])


def told(findings):
    """(verdict, what) of each finding."""
    return [(finding.verdict, finding.what) for finding in findings]


def test_keys(configured, monkeypatch, tmp_path):
    """A missing key fails where nobody serves the backend; one that others can read is a warning; none is shown."""
    for name in ("GROQ_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    secret = tmp_path / "key"
    secret.write_text("sk-hidden-key")
    secret.chmod(0o644)
    config = configured(f'[routes]\ndefault = ["groq", "mistral"]\n[backends.mistral]\napi_key_file = "{secret}"\n')

    missing, readable = keys.examine(config, live("groq", "mistral"))

    assert (missing.verdict, missing.what) == ("failed", "groq has no key here (GROQ_API_KEY).")
    assert "GROQ_API_KEY" in missing.what_to_do
    assert readable.verdict == "warning"
    assert readable.what_to_do == f"chmod 600 {secret}"
    monkeypatch.setenv("GROQ_API_KEY", "sk-hidden-key")
    secret.chmod(0o600)
    found = keys.examine(config, live("groq", "mistral"))
    assert told(found) == [("ok", "groq has a key."), ("ok", "mistral has a key.")]
    assert "hidden" not in repr(found)


def test_a_key_that_a_worker_has_elsewhere(configured, monkeypatch):
    """A backend that a worker serves has its key where that worker runs: nothing has failed."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    config = configured('[routes]\ndefault = ["groq"]\n')
    assert [finding.verdict for finding in keys.examine(config, live("groq", workers=1))] == ["ok"]


def test_limits_that_cannot_be_meant(configured):
    """More a minute than a day, an agent with more than the fleet, and paid calls without a limit of money are told."""
    config = configured(
        '[routes]\ndefault = ["groq", "openai"]\n[backends.groq]\nlimits = { rpm = 30, rpd = 20, tpm = 50 }\n'
        "[quotas]\nfleet = { rpm = 10 }\nagent = { rpm = 30 }\n"
    )
    words = " ".join(what for _, what in told(limits.examine(config, live("groq", "openai"))))

    assert "groq: rpm allows 30, though rpd allows only 20" in words
    assert "tpm allows" not in words
    assert "openai costs money and has no limit of money" in words
    assert "agent may use rpm = 30, more than the whole fleet (10)" in words


def test_limits_that_are_plausible(configured):
    """Limits that can be meant are one line."""
    config = configured('[routes]\ndefault = ["groq"]\n')
    assert told(limits.examine(config, live("groq"))) == [("ok", "Limits and quotas are plausible.")]


def test_a_state_folder_that_cannot_be_made(configured, tmp_path, monkeypatch):
    """A state folder below a file fails with what is in the way; one that can be made is fine."""
    monkeypatch.delenv("OPTIMIZER_ADMIN_TOKEN", raising=False)
    config = configured("")
    (tmp_path / "file").write_text("")
    broken = msgspec.structs.replace(config, history_url=f"sqlite:///{tmp_path}/file/state/history.db")
    well = msgspec.structs.replace(config, history_url=f"sqlite:///{tmp_path}/new/state/history.db")

    failed = [finding for finding in machine.examine(broken) if finding.verdict == "failed"]
    assert [finding.what for finding in failed] == [
        f"The state folder {tmp_path}/file/state cannot be made: {tmp_path}/file is a file."
    ]
    assert not [finding for finding in machine.examine(well) if finding.verdict == "failed"]


def test_an_admin_token_that_can_be_guessed(configured, monkeypatch):
    """A token with which no process would start has failed, and is not shown."""
    monkeypatch.setenv("OPTIMIZER_ADMIN_TOKEN", "short")
    (failed,) = [finding for finding in machine.examine(configured("")) if finding.verdict == "failed"]

    assert "at least 16 characters" in failed.what
    assert "short" not in failed.what


def test_findings_fit_a_terminal(configured):
    """80 columns hold every line; the sum says how many warnings there are, and that nothing failed."""
    config = configured('[routes]\ndefault = ["openai"]\n')
    text = drawn(shown(limits.examine(config, live("openai")), 80), 80)

    assert max(map(len, text.splitlines())) <= 80
    assert text.rstrip().endswith("nothing failed.")


async def test_rights_that_differ(configured, monkeypatch):
    """A user without rights, or with others than it needs, has failed; guest is a warning beside configured users."""
    config = configured('[users.hub]\nrole = "coordinator"\n[users.a]\nrole = "agent"\n[users.b]\nrole = "agent"\n')
    right = {each.user: each for each in rights_of(config)}

    async def given(*_):
        wanted = right["hub"]
        hub = {"configure": wanted.configure, "write": wanted.write, "read": wanted.read}
        return {"hub": hub, "a": {"configure": ".*", "write": right["a"].write, "read": ".*"}, "guest": {}}

    monkeypatch.setattr(rights, "_given", given)

    assert told(await rights.examine(config)) == [
        ("ok", "hub has the rights that it needs."),
        ("failed", "The rights of a to configure and read are not what they must be."),
        ("failed", "The user b has no rights on this virtual host."),
        ("warning", "The user guest may still do everything."),
    ]


async def test_without_users_nobody_has_rights_to_be_looked_at(configured):
    """Where no users are configured, nothing is asked of RabbitMQ."""
    assert await rights.examine(configured("")) == []
