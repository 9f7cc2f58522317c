"""What is said to Docker and apt-get, heard by stand-ins on the PATH."""

import os
import stat
from pathlib import Path

import pytest

from optimizer_ops.services import containers, debian
from optimizer_ops.services.redis_server import RedisInstance
from optimizer_ops.services.urls import ServicesUnavailable

COMPOSE = Path(__file__).parents[3] / "compose"


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put a program on the PATH that notes its words and environment, then runs a line of shell."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith("OPTIMIZER_")]:
        monkeypatch.delenv(name)

    def make(name, line="exit 0"):
        program, heard = tmp_path / name, tmp_path / f"{name}.heard"
        program.write_text(f'#!/bin/sh\necho "$*" >> {heard}\nenv | grep ^OPTIMIZER_ | sort >> {heard}\n{line}\n')
        program.chmod(stat.S_IRWXU)
        return heard

    return make


def test_docker_without_an_engine_is_not_available(stand_in):
    """The client alone starts nothing."""
    stand_in("docker", "exit 1")

    assert not containers.available()


def test_docker_with_an_engine_and_compose_is_available(stand_in):
    """Both are asked."""
    heard = stand_in("docker")

    assert containers.available()
    assert heard.read_text().splitlines() == ["info", "compose version"]


def test_a_container_gets_the_port_and_the_login_of_the_url(stand_in):
    """What the URL says is what the server will accept."""
    heard = stand_in("docker")

    containers.start("rabbitmq", "amqp://u:p%2F@127.0.0.1:5672/v", 21000)

    words, *settings = heard.read_text().splitlines()
    file = COMPOSE / "services.yaml"
    assert words == f"compose --project-name optimizer-services --file {file} up --detach --wait rabbitmq"
    assert settings == [
        "OPTIMIZER_RABBITMQ_PASSWORD=p/",
        "OPTIMIZER_RABBITMQ_PORT=21000",
        "OPTIMIZER_RABBITMQ_USER=u",
        "OPTIMIZER_RABBITMQ_VHOST=v",
    ]


def test_the_compose_file_knows_every_setting_it_is_given():
    """A misspelled variable would silently leave the default."""
    text = (COMPOSE / "services.yaml").read_text()

    for name in ("RABBITMQ_PORT", "RABBITMQ_USER", "RABBITMQ_PASSWORD", "RABBITMQ_VHOST", "REDIS_PORT"):
        assert f"${{OPTIMIZER_{name}:-" in text


def test_docker_is_quoted_when_it_fails(stand_in):
    """Its last line says what went wrong."""
    stand_in("docker", "echo first >&2; echo 'no such image' >&2; exit 1")

    with pytest.raises(ServicesUnavailable, match=r"docker compose up .* failed: no such image"):
        containers.start("redis", "redis://127.0.0.1/0", 6379)


def test_packages_are_installed_without_questions_and_without_starting_servers(stand_in, tmp_path, monkeypatch):
    """While apt-get runs, a policy forbids Debian to start what it installs; afterwards it is gone."""
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(debian, "_POLICY", policy)
    heard = stand_in("apt-get", f"sh {policy}; test $? = 101 && test $DEBIAN_FRONTEND = noninteractive")

    debian.install(["rabbitmq", "redis"])

    assert heard.read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends rabbitmq-server redis-server",
    ]
    assert not policy.exists()


def test_a_policy_that_is_there_already_stays(stand_in, tmp_path, monkeypatch):
    """It is the administrator's."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(debian, "_POLICY", policy)
    stand_in("apt-get")

    debian.install(["redis"])

    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_apt_get_is_quoted_when_it_fails(stand_in, tmp_path, monkeypatch):
    """Its last line says what went wrong."""
    monkeypatch.setattr(debian, "_POLICY", tmp_path / "policy-rc.d")
    stand_in("apt-get", "echo 'E: no network' >&2; exit 100")

    with pytest.raises(ServicesUnavailable, match="apt-get update -qq failed: E: no network"):
        debian.install(["redis"])


def test_redis_in_a_container_keeps_what_a_private_one_keeps(tmp_path):
    """The settings that the service relies on are the same wherever Redis runs."""
    private = RedisInstance.like("redis://127.0.0.1/0", tmp_path, 1).settings()
    container = (COMPOSE / "redis.conf").read_text().splitlines()

    relied_on = [line for line in private if line.split()[0] in {"appendonly", "appendfsync", "maxmemory-policy"}]
    assert len(relied_on) == 3
    assert set(relied_on) <= set(container)
