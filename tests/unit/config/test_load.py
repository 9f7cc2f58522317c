"""Where the configuration comes from, and how a mistake in it is told."""

import copy
import pickle

import pytest

from optimizer_config import ConfigError, load
from optimizer_config.credentials import Secret
from optimizer_config.model import ALIASES, RetrySettings, User


@pytest.fixture
def written(tmp_path):
    """Write a file and load it."""

    def write(text, **environ):
        file = tmp_path / "optimizer.toml"
        file.write_text(text, encoding="utf-8")
        return load(str(file), environ)

    return write


def error_of(call, *args, **environ):
    """The sentence of the ConfigError that a call raises."""
    with pytest.raises(ConfigError) as caught:
        call(*args, **environ)
    return str(caught.value)


# --- where it comes from


def test_nothing_at_all_works(tmp_path):
    """Without a file everything comes from the catalogue, and no route is written."""
    config = load(environ={"HOME": str(tmp_path)})

    assert (config.path, config.routes, config.models, config.configured) == (None, {}, {}, frozenset())
    assert config.amqp_url == "amqp://guest:guest@127.0.0.1:5672/"
    assert config.redis_url == "redis://127.0.0.1:6379/0"
    assert next(iter(config.backends)) == "cerebras"
    assert not config.warnings


@pytest.mark.parametrize(
    ("file", "environ"),
    [
        ("named.toml", {"OPTIMIZER_CONFIG": "{tmp}/named.toml"}),
        ("xdg/optimizer/optimizer.toml", {"XDG_CONFIG_HOME": "{tmp}/xdg"}),
        (".config/optimizer/optimizer.toml", {}),
        (".config/optimizer/optimizer.toml", {"XDG_CONFIG_HOME": "not/absolute"}),
    ],
)
def test_the_file_is_found(tmp_path, file, environ):
    """$OPTIMIZER_CONFIG, then the folder of XDG, then ~/.config."""
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text('prefix = "found"')
    environ = {name: value.format(tmp=tmp_path) for name, value in environ.items()}

    config = load(environ={"HOME": str(tmp_path), **environ})

    assert (config.prefix, config.path) == ("found", str(tmp_path / file))


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_a_named_file_must_exist(tmp_path, way):
    """A file that somebody names and that is not there is a mistake, not a default."""
    missing = str(tmp_path / "missing.toml")
    args, environ = ((missing,), {}) if way == "argument" else ((), {"OPTIMIZER_CONFIG": missing})

    assert f"configuration file {missing} does not exist" in error_of(lambda: load(*args, environ=environ))


def test_the_environment_goes_over_the_file(written):
    """OPTIMIZER_* wins over the file; an empty variable does not count."""
    text = 'amqp_url = "amqp://a"\nredis_url = "redis://a"\nprefix = "a"\nlog_level = "error"\n'
    environ = {
        "OPTIMIZER_AMQP_URL": "amqps://b",
        "OPTIMIZER_REDIS_URL": "rediss://b",
        "OPTIMIZER_PREFIX": "b",
        "OPTIMIZER_LOG_LEVEL": "DEBUG",
        "OPTIMIZER_PRICES_FILE": "/p.toml",
    }

    over, under = written(text, **environ), written(text, **dict.fromkeys(environ, ""))

    assert (over.amqp_url, over.redis_url, over.prefix, over.log_level) == ("amqps://b", "rediss://b", "b", "debug")
    assert over.prices_file == "/p.toml"
    assert (under.amqp_url, under.redis_url, under.prefix, under.log_level) == ("amqp://a", "redis://a", "a", "error")


def test_urls_come_from_files(written, tmp_path):
    """A URL holds a password, so it may stand in a file of its own: named in the file or in the environment."""
    (tmp_path / "amqp").write_text("amqp://u:p@h/\n")
    (tmp_path / "redis").write_text("redis://:p@h/1\n")

    config = written('amqp_url_file = "amqp"', OPTIMIZER_REDIS_URL_FILE=str(tmp_path / "redis"))

    assert (config.amqp_url, config.redis_url) == ("amqp://u:p@h/", "redis://:p@h/1")


def test_a_url_has_one_place(written, tmp_path):
    """Both a URL and its file are a contradiction."""
    (tmp_path / "amqp").write_text("amqp://h")

    assert "both written" in error_of(written, 'amqp_url = "amqp://h"\namqp_url_file = "amqp"')
    twice = {"OPTIMIZER_AMQP_URL": "amqp://h", "OPTIMIZER_AMQP_URL_FILE": str(tmp_path / "amqp")}
    assert "OPTIMIZER_AMQP_URL and OPTIMIZER_AMQP_URL_FILE are both set" in error_of(written, "", **twice)


def test_the_whole_file(written, tmp_path):
    """Every section at once, as the design writes it."""
    config = written(
        """
        amqp_url = "amqp://h"
        prices_file = "prices.toml"
        [backends.groq]
        api = "openai"
        base_url = "https://api.groq.com/openai/v1/"
        api_key_env = "GROQ_API_KEY"
        models = ["llama-3.3-70b-versatile"]
        limits = { rpm = 30, rpd = 1000, tpm = 12000, tpd = 100000, concurrency = 8 }
        [backends.mine]
        base_url = "http://127.0.0.1:9000/v1"
        models = ["tiny"]
        [routes]
        default = ["cerebras", "groq/openai/gpt-oss-20b", "mistral"]
        code = ["mine", "llama.cpp/qwen"]
        embed = ["openai/text-embedding-3-small"]
        [models]
        fast = ["groq/llama-3.1-8b-instant", "cerebras"]
        [cache]
        ttl_s = { code = 60, long = 5, default = 0 }
        [tenants]
        acme = ["user1", "user2"]
        [waits]
        drain_s = 2.5
        hold_s = 60
        self_check_s = 1.5
        retry_s = [0.1, 0]
        """
    )

    assert config.backends["groq"].base_url == "https://api.groq.com/openai/v1"
    assert [limit.name for limit in config.backends["groq"].limits] == ["rpm", "rpd", "tpm", "tpd"]
    assert (config.backends["mine"].kind, config.backends["mine"].api) == ("local", "openai")
    assert config.configured == {"groq", "mine", "cerebras", "mistral", "llamacpp", "openai"}
    assert config.routes["code"] == ("mine", "llamacpp/qwen")
    assert config.models == {"fast": ("groq/llama-3.1-8b-instant", "cerebras")}
    assert config.tenants == {"user1": "acme", "user2": "acme"}
    assert (config.waits.drain_s, config.waits.retry_s) == (2.5, (0.1, 0.0))
    assert (config.waits.hold_s, config.waits.self_check_s) == (60.0, 1.5)
    assert config.prices_file == str(tmp_path / "prices.toml")
    expected = [60, 5, 0, 0, 600, 60]
    assert [config.cache.ttl_for(t) for t in ("code", "long", "general", None, "reasoning", "creative")] == expected


def test_default_times_to_live():
    """Code lives an hour, reasoning and the rest ten minutes, creative a minute."""
    cache = load(environ={"HOME": "/nowhere"}).cache

    assert [cache.ttl_for(t) for t in ("code", "reasoning", "creative", None, "long")] == [3600, 600, 60, 600, 600]


def test_retries(written):
    """The retry budget of the fleet has a share, a window and a number that is always allowed."""
    assert written("").retries == RetrySettings(0.2, 10.0, 3)
    assert written("[retries]\nshare = 0.5\nwithin_s = 3\nleast = 0").retries == RetrySettings(0.5, 3.0, 0)


def test_models_that_a_backend_does_not_have(written, tmp_path):
    """A route or an alias that asks a backend for a model it does not list is used, and warned of."""
    config = written(
        """
        [routes]
        default = ["groq/llama-3.1-8b-instant", "groq/lama", "openrouter/openai/gpt-oss-20b:free"]
        [models]
        fast = ["cerebras/x/y", "groq"]
        """
    )

    assert config.routes["default"][1] == "groq/lama"
    assert [
        warning.removeprefix(f"{tmp_path}/optimizer.toml: ").partition(", which")[0] for warning in config.warnings
    ] == [
        'routes.default asks groq for "lama"',
        'models.fast asks cerebras for "x/y"',
    ]


# --- mistakes


# What a file says of the backend groq, and what is told of it after the file's name and `backends.groq.`.
OF_A_BACKEND = {
    'limits = { rpm = "thirty" }': 'limits.rpm must be a positive whole number, got "thirty".',
    "limits = { rpm = true }": "limits.rpm must be a positive whole number, got true.",
    "limits = { rpm = 1.5 }": "limits.rpm must be a positive whole number, got 1.5.",
    "limits = { rmp = 3 }": 'limits.rmp is not a known key; did you mean "rpm"?',
    "limits = 3": "limits must be a table like { rpm = 30, concurrency = 8 }, got 3.",
    "limits = [{ rpm = 1 }, { rpm = 2 }]": 'limits has two limits called "rpm"',
    "limits = [{ rpm = 1 }, { count = 1 }]": '"limits[2]".per_s is missing; a window is written as',
    "limits = [{ count = 1, per_s = 1, name = 'ø' }]": '"limits[1]".name must consist of letters, digits, _ and -',
    "limits = { x = { count = 1, per_s = 0 } }": "limits.x.per_s must be a number of seconds of at least 0.1, got 0.",
    "limits = { usd_per_day = 0 }": "limits.usd_per_day must be a number of dollars of at least 1e-06, got 0.",
    "limits = { usd_per_day = '1' }": 'limits.usd_per_day must be a number of dollars of at least 1e-06, got "1".',
    "limits = { usd_per_dya = 1 }": 'limits.usd_per_dya is not a known key; did you mean "usd_per_day"?',
    "limits = { rpd = 1, reset = '24:00 UTC' }": "limits.reset must be a time of day and a time zone, for example",
    "limits = { rpd = 1, reset = '00:00' }": "limits.reset must be a time of day and a time zone, for example",
    "limits = { rpd = 1, reset = 'week 00:00 UTC' }": "limits.reset must be a time of day and a time zone",
    "limits = { rpd = 1, reset = '00:00 Berlin' }": 'limits.reset names the unknown time zone "Berlin"; write one like',
    "limits = { rpd = 1, reset = '00:00 America' }": 'limits.reset names the unknown time zone "America"',
    "limits = { rpd = 1, reset = '00:00 ../UTC' }": 'limits.reset names the unknown time zone "../UTC"',
    "limits = { rpm = 1, reset = '00:00 UTC' }": "limits.reset is written, but none of these limits is one of a day.",
    "limits = { rpd = 1, reset = 'month 00:00 UTC' }": "limits.reset is written, but none of these limits is one of a",
    "limits = { x = { count = 1, per_s = 60, reset = '00:00 UTC' } }": "limits.x.reset is one of a day, which this "
    "window of 60 s is not.",
    "breaker = { failures = 0 }": "breaker.failures must be a positive whole number, got 0.",
    "breaker = { open_s = 0 }": "breaker.open_s must be a number of seconds of at least 0.1, got 0.",
    "breaker = { for_s = 1 }": "breaker.for_s is not a known key",
    "max_share = 0": "max_share must be above 0; a backend that is to get nothing is left out of the routes.",
    "max_share = 1.1": "max_share must be a share from 0 to 1, for example 0.2, got 1.1.",
    "max_share = nan": "max_share must be a share from 0 to 1, for example 0.2, got nan.",
    "max_share = true": "max_share must be a share from 0 to 1, for example 0.2, got true.",
    "max_workers = 0": "max_workers must be a positive whole number, got 0.",
    "counts_max_tokens = 1": "counts_max_tokens must be true or false, got 1.",
    "ratelimit_headers = 'opnai'": "ratelimit_headers must be one of",
    "base_url = 'ftp://u:pw@h'": 'base_url must be a URL that begins with http:// or https://, got "ftp://u:***@h".',
    "base_url = 'https://u:pw@h'": "base_url must hold neither a user nor a password nor a query.",
    "base_url = 'https://h:port/'": "base_url must be a URL that begins with",
    "base_url = 'https://'": "base_url must be a URL that begins with",
    "base_ulr = 'https://h'": 'base_ulr is not a known key; did you mean "base_url"?',
    "api_key = 'gsk_pw'": "api_key does not belong into this file; name where the key is: api_key_env or api_key_file.",
    "api_key_env = 'gsk-pw'": "api_key_env must be the name of an environment variable, not the key itself.",
    "api = 'opnai'": 'api must be one of "openai", "anthropic", got "opnai"; did you mean "openai"?',
    "models = []": "models must be a list of text with at least one entry, got an empty list.",
    "models = ['a', 'a']": 'models names "a" twice.',
    "models = ['a', 1]": "models must hold only text, got 1.",
    "timeout_s = 601": "timeout_s must be at most 600 seconds",
    "timeout_s = inf": "timeout_s must be a number of seconds of at least 0.1, got inf.",
    'headers = { x = "a\\nb" }': "headers.x must be a header name with text of one line.",
    "headers = { 'a b' = 'c' }": 'headers."a b" must be a header name with text of one line.',
}
# What a file says, and what is told of it after the file's name.
OF_THE_REST = {
    "[backends]\ngroq = 1": "backends.groq must be a table, got 1.",
    "[backends.'a b']\nbase_url = 'http://h'": 'backends."a b" must consist of letters, digits, _ and -.',
    "[backends.mine]\nmodels = ['m']": "backends.mine.base_url is missing; a backend outside the catalogue needs it",
    "[backends.mine]\nbase_url = 'http://h'": "backends.mine.models is missing; a backend outside the catalogue",
    "[routes]\ndefault = ['grok']": 'routes.default names the unknown backend "grok"; did you mean "groq"?',
    "[routes]\ndefault = ['zzz']": 'routes.default names the unknown backend "zzz"',
    "[routes]\ndefault = 'groq'": 'routes.default must be a list, for example default = ["groq"].',
    "[routes]\ndefault = ['groq/']": 'routes.default has "groq/" without a model after the slash.',
    "[routes]\ncoed = ['groq']": 'routes.coed is not a known key; did you mean "code"?',
    "[models]\ngroq = ['cerebras']": "models.groq cannot be an alias: it already names a backend.",
    "[models]\nauto = ['cerebras']": "models.auto cannot be an alias: it lets the optimizer choose.",
    "[models]\n'a/b' = ['cerebras']": 'models."a/b" cannot be an alias: it reads as backend/model.',
    "[tenants]\na = ['u']\nb = ['u']": 'tenants.b names the user "u", who already belongs to a.',
    "[tenants]\n'a/b' = ['u']": 'tenants."a/b" must consist of at most 64 letters, digits, ".", "_" and "-"',
    "[tenants]\na = ['u']\n[users.u]\nrole = 'agent'": "tenants is not for a file with [users]",
    "[users.u]": "users.u.role is missing; it is one of agent, coordinator, worker, observer, recorder, dashboard.",
    "[users.u]\nrole = 'agnet'": 'users.u.role must be one of "agent", "coordinator", "worker", "observer", "recorder"',
    "[users.u]\nrole = 'agent'\ntenant = 'a:b'": "users.u.tenant must consist of at most 64 letters",
    "[users.u]\nrole = 'agent'\nagents = 'a'": "users.u.agents must be a list of text",
    "[users.u]\nrole = 'agent'\nevents = ['#']": "users.u.events is not for the role agent; it is for an observer.",
    "[users.u]\nrole = 'worker'": 'users.u.backends is missing; a worker needs it, for example backends = ["groq"].',
    "[users.u]\nrole = 'worker'\nbackends = ['grok']": 'users.u.backends names the unknown backend "grok"; did you',
    "[users.u]\nrole = 'coordinator'\ntenant = 'a'": "users.u.tenant is not for the role coordinator; it is for an",
    "[users.u]\nrole = 'observer'\nevents = ['a b']": 'users.u.events must hold patterns like "optimizer.cache.*"',
    "[users.u]\nrole = 'coordinator'\n[users.v]\nrole = 'coordinator'": "users.v is a second coordinator beside u; all",
    "[users.u]\nrole = 'observer'\nagent = 'x'": "users.u.agent is not a known key",
    "[users.'a\u00adb']\nrole = 'agent'": 'users."a\u00adb" must be printable text of at most 128 bytes',
    "[cache]\nttl_s = { cod = 1 }": 'cache.ttl_s.cod is not a known key; did you mean "code"?',
    "[cache]\nttl_s = { code = -1 }": "cache.ttl_s.code must be a number of seconds of at least 0, got -1.",
    "[cache]\nttl_s = { code = 1e9 }": "cache.ttl_s.code must be at most 31622400 seconds",
    "[waits]\nretry_s = 1": "waits.retry_s must be a list of seconds, for example [1, 2, 4].",
    "[waits]\nretry_s = ['1']": 'waits.retry_s must be a number of seconds of at least 0, got "1".',
    "[waits]\nhold_s = 1000": "waits.hold_s must be at most 900 seconds, got 1000.",
    "[waits]\nself_check_s = 0": "waits.self_check_s must be a number of seconds of at least 0.1, got 0.",
    "[waits]\nservices_s = 1": "waits.services_s is not a known key",
    "[breaker]\nwithin_s = -1": "breaker.within_s must be a number of seconds of at least 0.1, got -1.",
    "[retries]\nshare = 2": "retries.share must be a share from 0 to 1, for example 0.2, got 2.",
    "[retries]\nleast = -1": "retries.least must be a whole number of at least 0, got -1.",
    "[retries]\nwithin = 1": 'retries.within is not a known key; did you mean "within_s"?',
    "prefix = 'a{b'": 'prefix must consist of at most 64 letters, digits, ".", "_" and "-", got "a{b".',
    "log_level = 'loud'": 'log_level must be one of "debug", "info", "warning", "error", got "loud".',
    "amqp_url = 'http://u:pw@h'": 'amqp_url must be a URL that begins with amqp:// or amqps://, got "http://u:***@h".',
    "redis_url = ''": 'redis_url must be text, got "".',
    "amqp_url_file = 'missing'": "amqp_url_file: the file ",
    "backend = 1": 'backend is not a known key; did you mean "backends"?',
    "password = 'x'": "password does not belong into this file",
}
MISTAKES = {f"[backends.groq]\n{text}": f"backends.groq.{told}" for text, told in OF_A_BACKEND.items()} | OF_THE_REST


@pytest.mark.parametrize(("text", "told"), MISTAKES.items())
def test_mistakes_name_their_place(written, tmp_path, text, told):
    """An error begins with the file and says where and what; nearly right words get a proposal."""
    sentence = error_of(written, text)

    assert sentence.startswith(f"{tmp_path / 'optimizer.toml'}: {told}")
    assert "pw" not in sentence.removeprefix(str(tmp_path))


def test_broken_toml_tells_the_line(written):
    """What TOML cannot read is told with its line."""
    assert "this is not valid TOML" in error_of(written, "a = 1\nb = = 2")
    assert "at line 2" in error_of(written, "a = 1\nb = = 2")


def test_what_is_no_text(tmp_path):
    """A file that is not UTF-8 is told as such."""
    file = tmp_path / "optimizer.toml"
    file.write_bytes(b"prefix = '\xff'")

    assert "this is not UTF-8 text (at byte 10)" in error_of(load, str(file), environ={})


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"OPTIMIZER_AMQP_URL": "http://u:pw@h"}, "OPTIMIZER_AMQP_URL must be a URL that begins with amqp:// or"),
        ({"OPTIMIZER_REDIS_URL": "http://u:pw@h"}, ' or unix://, got "http://u:***@h".'),
        ({"OPTIMIZER_REDIS_URL_FILE": "/nowhere"}, "OPTIMIZER_REDIS_URL_FILE: the file /nowhere cannot be read: No "),
        ({"OPTIMIZER_PREFIX": "a b"}, "OPTIMIZER_PREFIX must consist of"),
        ({"OPTIMIZER_LOG_LEVEL": "inof"}, 'OPTIMIZER_LOG_LEVEL must be one of "debug", "info", "warning", "error"'),
    ],
)
def test_mistakes_in_the_environment(written, environ, told):
    """An error in the environment names the variable."""
    assert told in error_of(written, "", **environ)


# --- names and secrets


def test_llama_cpp_has_two_names(written):
    """`llama.cpp` is llamacpp wherever a backend is named."""
    config = written("[backends.'llama.cpp']\nbase_url = 'http://gpu:9931/v1'\n[routes]\ndefault = ['llama.cpp']")

    assert ALIASES == {"llama.cpp": "llamacpp"}
    assert config.backend("llama.cpp") is config.backends["llamacpp"]
    assert (config.backend("llamacpp").label, config.routes["default"]) == ("llama.cpp", ("llamacpp",))
    assert 'no backend "grok"; did you mean "groq"?' in error_of(config.backend, "grok")


@pytest.mark.parametrize("show", [repr, str, lambda config: str(config.__rich_repr__())])
def test_a_configuration_hides_its_secrets(written, show):
    """Neither passwords of URLs nor header values are ever shown."""
    config = written(
        "amqp_url = 'amqp://u:hush@h/v'\nredis_url = 'rediss://:hush@h?password=hush'\n"
        "[backends.groq]\nheaders = { authorization = 'hush' }"
    )

    assert "hush" not in show(config)
    assert "amqp://u:***@h/v" in show(config)
    assert "'authorization': '***'" in show(config)


def test_a_secret_does_not_show_itself():
    """A key appears in no text and survives no copy."""
    secret = Secret("hush")

    assert [str(secret), repr(secret), f"{secret}", f"{[secret]}"] == ["***", "Secret(***)", "***", "[Secret(***)]"]
    assert (secret.reveal(), secret, len({secret, Secret("hush")})) == ("hush", Secret("hush"), 1)
    for copying in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            copying(secret)


def test_users(written):
    """Users have a role, and what goes with it: an agent speaks in its own name and hears nothing unless it is said."""
    config = written(
        """
        [users.quality]
        role = "agent"
        [users."qa team"]
        role = "agent"
        tenant = "acme"
        agents = ["qa-*", "tester"]
        [users.hub]
        role = "coordinator"
        [users.lama]
        role = "worker"
        backends = ["llama.cpp", "groq"]
        [users.board]
        role = "observer"
        [users.cache-board]
        role = "observer"
        events = ["optimizer.cache.*"]
        """
    )

    assert config.users == {
        "quality": User("agent", "default", ("quality",)),
        "qa team": User("agent", "acme", ("qa-*", "tester")),
        "hub": User("coordinator"),
        "lama": User("worker", backends=("llamacpp", "groq")),
        "board": User("observer", events=("optimizer.*",)),
        "cache-board": User("observer", events=("optimizer.cache.*",)),
    }
    assert (config.configured, config.served) == (frozenset(), {"llamacpp", "groq"})


@pytest.mark.parametrize(
    ("options", "told"), [("socket_timeout=s3cret", "socket_timeout"), ("passwort=s3cret", "passwort")]
)
def test_options_of_the_redis_url(options, told):
    """An option that Redis connections do not have, or that cannot be read, is named without its value."""
    with pytest.raises(ConfigError, match=told) as caught:
        load(None, {"OPTIMIZER_REDIS_URL": f"redis://:s3cret@h/0?{options}", "HOME": "/nowhere"})

    assert "s3cret" not in str(caught.value)
    assert load(None, {"OPTIMIZER_REDIS_URL": "redis://h/0?socket_timeout=3", "HOME": "/nowhere"})
