"""Quotas of the fleet, of tenants and of agents, and the weight that a tier gives."""

import pytest

from optimizer_config import ConfigError, load
from optimizer_config.model import Limit, Reset


@pytest.fixture
def written(tmp_path):
    """Write a file and load it."""

    def write(text):
        file = tmp_path / "optimizer.toml"
        file.write_text(text, encoding="utf-8")
        return load(str(file), {})

    return write


def rpm(count):
    return Limit("rpm", "requests", count, 60.0)


def test_off_unless_written(written):
    """Without quotas nobody has one, everybody weighs the same, and nothing is warned of."""
    config = written("")

    assert (config.quotas.limits, config.quotas.limits_of("any"), config.weight_of("any")) == ({}, (), 1.0)
    assert (config.quotas.over, config.warnings) == ("wait", ())


def test_quotas_hold_requests_tokens_and_money(written):
    """A quota is written like a backend's limits, for the fleet, for each tenant and for each agent."""
    config = written(
        """
        [quotas]
        over = "reject"
        fleet = { rpm = 300, usd_per_month = 99.5 }
        tenant = { tpd = 1_000_000 }
        agent = { rpm = 30 }
        """
    )

    assert config.quotas.over == "reject"
    assert config.quotas.limits == {
        "fleet": (rpm(300), Limit("usd_per_month", "usd", 99_500_000, 31 * 86400.0, reset=Reset("month"))),
        "tenant": (Limit("tpd", "tokens", 1_000_000, 86400.0),),
        "agent": (rpm(30),),
    }


def test_the_quota_of_an_agent(written):
    """An agent's own limits replace the quota for every agent; a tier is one too where it is written."""
    config = written(
        """
        [quotas]
        agent = { rpm = 30 }
        [agents.quality]
        tier = "professional"
        [agents.bulk]
        limits = { rpm = 7, usd_per_day = 1 }
        [agents.both]
        tier = "free"
        limits = { usd_per_day = 1 }
        [agents.heavy]
        tier = "enterprise"
        limits = { rpm = 1000 }
        [agents.bare]
        """
    )

    dollar = Limit("usd_per_day", "usd", 1_000_000, 86400.0, reset=Reset("day"))
    assert config.quotas.limits_of("quality") == (rpm(100),)
    assert config.quotas.limits_of("bulk") == (rpm(7), dollar)
    assert config.quotas.limits_of("both") == (rpm(5), dollar)
    assert config.quotas.limits_of("heavy") == (rpm(1000),)
    assert config.quotas.limits_of("bare") == config.quotas.limits_of("unheard of") == (rpm(30),)


def test_the_weight_of_an_agent(written):
    """A tier weighs its requests a minute ÷ 10; who has none weighs as much as basic, whatever its limits."""
    tiers = ("free", "basic", "professional", "enterprise")
    config = written("".join(f"[agents.{tier}]\ntier = '{tier}'\n" for tier in tiers) + "[agents.x.limits]\nrpm = 99")

    assert [config.weight_of(tier) for tier in tiers] == [0.5, 1.0, 10.0, 50.0]
    assert config.weight_of("x") == config.weight_of("unheard of") == 1.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[quotas]\nover = 'wiat'", 'quotas.over must be one of "wait", "reject", got "wiat"; did you mean "wait"?'),
        ("[quotas]\nflet = { rpm = 1 }", 'quotas.flet is not a known key; did you mean "fleet"?'),
        ("[quotas]\nfleet = { rpm = 0 }", "quotas.fleet.rpm must be a positive whole number, got 0."),
        ("[quotas]\nfleet = { concurrency = 3 }", "quotas.fleet cannot limit concurrency"),
        ("[quotas]\nagent = [{ rpm = 3, models = ['m'] }]", "quotas.agent cannot be narrowed to models"),
        ("[agents.q]\ntier = 'pro'", 'agents.q.tier must be one of "free", "basic", "professional", "enterprise"'),
        ("[agents.q]\ntire = 'free'", 'agents.q.tire is not a known key; did you mean "tier"?'),
    ],
)
def test_wrong_quotas(written, text, told):
    """A mistake is told with its place."""
    with pytest.raises(ConfigError) as caught:
        written(text)

    assert told in str(caught.value)
