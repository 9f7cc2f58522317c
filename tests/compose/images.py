"""Images under the names that compose.yaml uses: there already, pulled, or made from Debian where none can be pulled.

A minimal Debian is unpacked with debootstrap, imported, and given the user, the entrypoint and the settings on which
compose.yaml relies. It proves how the parts of the deployment work together, not the images of the projects.
"""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.compose.engine import Engine, add_compose

_MIRROR = "http://deb.debian.org/debian"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Debian:
    """A suite of Debian with some packages."""

    suite: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class StandIn:
    """What is done to a Debian so that it can stand in for an image."""

    base: Debian
    dockerfile: str


# With them: RabbitMQ 4.3, Redis 8, PostgreSQL 18, Prometheus 3, and the compose command of version 2.
_SERVERS = Debian("forky", ("rabbitmq-server", "redis-server", "postgresql", "prometheus", "docker-compose"))
_COMPOSE_PLUGIN = "usr/libexec/docker/cli-plugins/docker-compose"
_PYTHON = Debian("trixie", ("python3", "python3-venv", "python3-pip", "ca-certificates", "tzdata"))
_RUN_ALL = '#!/bin/sh\nexec "$@"\n'
_RUN_POSTGRES = """#!/bin/sh
set -e
export PGDATA=/var/lib/postgresql/18/docker
if [ ! -s $PGDATA/PG_VERSION ]; then
    initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 \\
        --encoding=UTF8 >/dev/null
    echo "host all all all scram-sha-256" >>$PGDATA/pg_hba.conf
    echo "create database $POSTGRES_DB owner $POSTGRES_USER" | postgres --single -D $PGDATA postgres >/dev/null
fi
exec "$@"
"""
_STAND_INS = {
    "python:3.13-slim": StandIn(
        _PYTHON,
        # The certificates of the machine: what is fetched may go through a proxy of its own.
        """
        COPY certificates.crt /etc/ssl/certs/ca-certificates.crt
        ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
        RUN ln -s /usr/bin/python3 /usr/local/bin/python3 && ln -s python3 /usr/local/bin/python
        CMD ["python3"]
        """,
    ),
    "rabbitmq:4": StandIn(
        _SERVERS,
        """
        COPY run-all /usr/local/bin/docker-entrypoint.sh
        ENV RABBITMQ_LOGS=- HOME=/var/lib/rabbitmq PATH=/usr/lib/rabbitmq/bin:/usr/local/bin:/usr/bin:/bin
        RUN mkdir -p /etc/rabbitmq/conf.d \\
            && printf 'loopback_users.guest = false\\nlog.console = true\\n' > /etc/rabbitmq/conf.d/10-defaults.conf \\
            && echo '[rabbitmq_prometheus].' > /etc/rabbitmq/enabled_plugins && chmod 777 /var/log/rabbitmq
        VOLUME /var/lib/rabbitmq
        EXPOSE 5672
        ENTRYPOINT ["docker-entrypoint.sh"]
        CMD ["rabbitmq-server"]
        """,
    ),
    "redis:8": StandIn(
        _SERVERS,
        """
        COPY run-all /usr/local/bin/docker-entrypoint.sh
        RUN mkdir /data && chown redis:redis /data
        VOLUME /data
        WORKDIR /data
        EXPOSE 6379
        ENTRYPOINT ["docker-entrypoint.sh"]
        CMD ["redis-server", "--protected-mode", "no"]
        """,
    ),
    "postgres:18": StandIn(
        _SERVERS,
        """
        COPY run-postgres /usr/local/bin/docker-entrypoint.sh
        ENV PATH=/usr/lib/postgresql/18/bin:/usr/local/bin:/usr/bin:/bin
        RUN rm -rf /var/lib/postgresql/* && chown postgres:postgres /var/lib/postgresql \\
            && chmod 3777 /var/run/postgresql
        VOLUME /var/lib/postgresql
        EXPOSE 5432
        STOPSIGNAL SIGINT
        ENTRYPOINT ["docker-entrypoint.sh"]
        CMD ["postgres", "-D", "/var/lib/postgresql/18/docker", "-c", "listen_addresses=*"]
        """,
    ),
    "prom/prometheus:v3.5.0": StandIn(
        _SERVERS,
        """
        RUN ln -s /usr/bin/prometheus /bin/prometheus || true; mkdir -p /prometheus && chown nobody /prometheus
        USER nobody
        EXPOSE 9090
        ENTRYPOINT ["/usr/bin/prometheus"]
        CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
        """,
    ),
}


def ensure(engine: Engine, names: set[str], folder: Path, say: Callable[[str], None]) -> None:
    """Make sure that these images are there: pulled, or in an engine of our own made from Debians.

    Debians are unpacked in `folder` and removed again. Raises `RuntimeError` where one cannot be had.
    """
    missing = sorted(name for name in names if not engine.has_image(name))
    if not engine.private:
        # Nobody finds a stand-in under the name of a real image in an engine that is used for other things too.
        if refused := [name for name in missing if not engine.pull(name)]:
            raise RuntimeError(f"The Docker engine cannot pull {', '.join(refused)}.")
        return
    for base in dict.fromkeys(_stand_in(name).base for name in missing):
        say(f"unpacking Debian {base.suite} with {', '.join(base.packages)}")
        _import(engine, base, folder)
    for name in missing:
        say(f"making a stand-in for {name}")
        _build(engine, name, _STAND_INS[name], folder)


def _stand_in(name: str) -> StandIn:
    if name not in _STAND_INS:
        raise RuntimeError(f"Nothing stands in for the image {name} here.")
    return _STAND_INS[name]


def _tag(base: Debian) -> str:
    return f"debian-with-{base.packages[0]}:{base.suite}"


def _import(engine: Engine, base: Debian, folder: Path) -> None:
    if engine.has_image(_tag(base)):
        return
    if shutil.which("debootstrap") is None:
        raise RuntimeError("Images cannot be pulled here; to make them, run: apt-get install debootstrap")
    tree, log = folder / base.suite, folder / f"{base.suite}.log"
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(base.packages)}"]
    try:
        with log.open("wb") as file:
            # Older debootstraps do not know newer suites; all of them are made like sid.
            subprocess.run(
                [*command, base.suite, tree, _MIRROR, "/usr/share/debootstrap/scripts/sid"],
                stdout=file,
                stderr=file,
                check=True,
            )
        if (tree / _COMPOSE_PLUGIN).exists():
            add_compose(engine, tree / _COMPOSE_PLUGIN)
        for cache in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(tree / cache)
        # Under load debootstrap may leave /proc mounted inside.
        if (tree / "proc").is_mount():
            subprocess.run(["umount", "--lazy", tree / "proc"], check=True)
        with subprocess.Popen(["tar", "-C", tree, "--one-file-system", "-c", "."], stdout=subprocess.PIPE) as packed:
            engine.run("import", "-", _tag(base), stdin=packed.stdout)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"Debian {base.suite} could not be made: {error}; see {log}") from error
    finally:
        shutil.rmtree(tree, ignore_errors=True)


def _build(engine: Engine, name: str, made: StandIn, folder: Path) -> None:
    context = folder / "context"
    context.mkdir(exist_ok=True)
    for file, text in (("run-all", _RUN_ALL), ("run-postgres", _RUN_POSTGRES)):
        (context / file).write_text(text)
        (context / file).chmod(0o755)
    shutil.copy(_CERTIFICATES, context / "certificates.crt")
    (context / "Dockerfile").write_text(f"FROM {_tag(made.base)}\n{made.dockerfile}")
    engine.run("build", "--quiet", "--network", "none", "--tag", name, str(context))
