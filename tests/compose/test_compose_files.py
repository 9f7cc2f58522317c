"""compose.yaml and services.yaml without a Docker engine: what the specification allows, and what belongs together.

`compose-spec.json` is the JSON schema of the Compose Specification (Apache License 2.0, `compose-spec.LICENSE`).
"""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from optimizer_config.catalogue import catalogue
from optimizer_config.load import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "compose"
FILES = ("compose.yaml", "services.yaml")
_SET_UP = re.compile(r"\$\{\w+:-([^}]*)\}")


def composed(name="compose.yaml"):
    """The content of a compose file, variables with their defaults."""
    return yaml.safe_load(_SET_UP.sub(r"\1", (FOLDER / name).read_text()))


STACK = composed()
SERVICES = STACK["services"]
OURS = {name: each for name, each in SERVICES.items() if each["image"].startswith("fleet-optimizer:")}


def services(chosen=SERVICES):
    """A case for each service."""
    return pytest.mark.parametrize(("name", "service"), chosen.items(), ids=chosen.keys())


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_the_specification_allows(name):
    """Every key and value of a compose file is one that the Compose Specification knows."""
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())

    problems = [
        f"{'.'.join(map(str, error.path))}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(composed(name))
    ]

    assert problems == []


@pytest.mark.parametrize("name", FILES)
def test_mounted_files_are_there(name):
    """Whatever is mounted from the checkout exists; Docker would make an empty folder of it."""
    mounts = [mount for each in composed(name)["services"].values() for mount in each.get("volumes", [])]
    sources = [mount.split(":")[0] if isinstance(mount, str) else mount["source"] for mount in mounts]

    missing = [source for source in sources if source.startswith(".") and not (FOLDER / source).exists()]

    assert sources
    assert missing == []


@services()
def test_what_a_service_names_is_declared(name, service):
    """Secrets, volumes and services that one depends on are in the same file."""
    secrets = {each if isinstance(each, str) else each["source"] for each in service.get("secrets", [])}
    volumes = {each.split(":")[0] for each in service.get("volumes", []) if isinstance(each, str)}

    assert secrets <= set(STACK["secrets"])
    assert {each for each in volumes if not each.startswith((".", "/"))} <= set(STACK["volumes"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_nothing_is_declared_that_no_service_uses():
    """Each declared secret is handed to a service, and each volume is mounted by one."""
    words = json.dumps(SERVICES)

    assert [name for name in STACK["secrets"] if f'"{name}"' not in words] == []
    assert [name for name in STACK["volumes"] if f'"{name}:/' not in words] == []


@services()
def test_no_container_may_more_than_it_needs(name, service):
    """No root, no capabilities, nothing to write to but volumes and memory, a bound on memory, processors and logs."""
    limits = service["deploy"]["resources"]["limits"]

    assert service["user"] not in {"root", "0"} if "user" in service else name in OURS
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert "max-size" in service["logging"]["options"]


@pytest.mark.parametrize("name", FILES)
def test_ports_are_open_to_this_machine_alone(name):
    """Every published port is bound to loopback."""
    ports = [port for each in composed(name)["services"].values() for port in each.get("ports", [])]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", FILES)
def test_images_are_held_to_a_version(name):
    """No image moves to another major version by itself."""
    images = {each["image"] for each in composed(name)["services"].values()}

    assert [image for image in images if not re.fullmatch(r"[a-z/-]+:v?\d+(\.\d+)*", image)] == []


def test_both_files_run_the_same_servers():
    """What is tried with `optimizer services` is what is deployed."""
    alone = composed("services.yaml")["services"]

    assert {name: each["image"] for name, each in alone.items()} == {
        name: SERVICES[name]["image"] for name in ("rabbitmq", "redis")
    }
    assert composed("services.yaml")["name"] != STACK["name"]


def test_every_backend_of_the_catalogue_has_its_worker_and_its_key():
    """Each under a profile of its name, started with its name; a key goes to the worker of its backend alone."""
    for name, backend in catalogue().items():
        worker = SERVICES[f"worker-{name}"]
        handed = {*worker["secrets"]} - {"amqp_url", "admin_token"}

        assert worker["profiles"] == [name]
        assert worker["command"][:2] == ["worker", name]
        assert handed == (set() if backend.kind == "local" else {name})


@services(OURS)
def test_a_service_is_healthy_when_it_can_do_its_work(name, service):
    """Its own health check, or that of the image, asks the port on which its command listens."""
    image = re.search(r"HEALTHCHECK .*?CMD (\[.*?\])", (FOLDER / "Dockerfile").read_text(), re.DOTALL)
    test = service["healthcheck"]["test"] if "healthcheck" in service else json.loads(image.group(1))
    port = service["command"][-1]

    assert re.search(rf":{port}/(readyz|health|_stats)$", test[-1])


def test_the_image_has_a_user_and_no_build_tools():
    """Its processes run as a number that is not root, and come without pip and compilers."""
    stages = re.split(r"^FROM ", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]

    assert len(stages) == 2
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", stages[1], re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", stages[1], re.MULTILINE)
    assert not re.search(r"\bpip\b|apt-get", stages[1])
    assert stages[0].count("--require-hashes") == 2


def test_the_image_is_locked_to_the_versions_that_are_tested():
    """Every version of its two lock files is the one of dev.txt."""

    def pins(name):
        return set(re.findall(r"^[a-z0-9._-]+==\S+", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))

    assert pins("image")
    assert pins("image") | pins("build") <= pins("dev")
    assert {name.partition("==")[0] for name in pins("image")} >= {"psycopg", "opentelemetry-sdk", "sqlalchemy"}


def test_what_the_image_is_made_of_is_not_ignored():
    """Everything that the Dockerfile copies from the checkout is let through by .dockerignore."""
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    names = {name for line in copied for name in line.split()}

    assert names == let_through
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", ["optimizer.toml", "simulate.toml"])
def test_the_configurations_can_be_read(name):
    """Without a warning, so that nobody begins with a broken one."""
    config = load(str(FOLDER / name), {})

    assert config.warnings == ()


def test_the_simulated_backend_is_the_one_that_runs():
    """The configuration for trying names the service, its port and the worker's backend."""
    written = tomllib.loads((FOLDER / "simulate.toml").read_text())["backends"]
    (name, backend), command = next(iter(written.items())), SERVICES["simulate"]["command"]

    assert backend["base_url"] == f"http://simulate:{command[-1]}/v1"
    assert SERVICES["worker-simulated"]["command"][:2] == ["worker", name]


class Setup:
    """setup.sh in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "setup.sh").write_text((FOLDER / "setup.sh").read_text())

    def run(self, *profiles, keys=""):
        """Run it with these profiles and this standard input."""
        command = ["sh", "setup.sh", *profiles]
        return subprocess.run(
            command, cwd=self.folder, input=keys, capture_output=True, text=True, check=False, timeout=20
        )

    def secrets(self):
        """What it made, by name."""
        return {file.name: file.read_text() for file in (self.folder / "secrets").iterdir()}


@pytest.fixture
def setup(tmp_path):
    """A setup.sh that nobody has run."""
    return Setup(tmp_path)


def test_setup_makes_every_secret_that_its_profiles_need(setup):
    """Nothing that a chosen service is handed is missing, or Docker would refuse to start it."""
    done = setup.run("groq", "postgres", "simulate", keys="gsk-test-key\n")
    chosen = [each for each in SERVICES.values() if set(each.get("profiles", ["groq"])) & {"groq", "postgres"}]
    needed = {
        STACK["secrets"][secret if isinstance(secret, str) else secret["source"]]["file"].removeprefix("secrets/")
        for each in chosen
        for secret in each.get("secrets", [])
    }

    assert done.returncode == 0, done.stderr
    assert needed <= set(setup.secrets())
    assert setup.secrets()["groq"] == "gsk-test-key\n"
    assert "gsk-test-key" not in done.stdout + done.stderr


def test_setup_keeps_others_out_of_the_secrets(setup):
    """The folder is its owner's; the files can be read by the users of the containers, who get them one by one."""
    setup.run("simulate")

    assert (setup.folder / "secrets").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (setup.folder / "secrets").iterdir()} == {0o444}


def test_setup_again_keeps_what_is_there(setup):
    """Passwords and keys stay, since RabbitMQ and PostgreSQL know them already; only what to run and where changes."""
    setup.run("groq", keys="gsk-test-key\n")
    before = setup.secrets()
    setup.run("groq", "postgres")
    after = setup.secrets()

    assert before.pop("history_url").startswith("sqlite:////var/lib/optimizer/")
    assert after["history_url"].startswith("postgresql://optimizer:")
    assert {name: after[name] for name in before} == before
    assert "COMPOSE_PROFILES=groq,postgres\n" in (setup.folder / ".env").read_text()


def test_setup_gives_rabbitmq_and_its_users_the_same_password(setup):
    """The login that RabbitMQ makes at its first start is the one of the URL."""
    setup.run("simulate")
    login = dict(line.split(" = ") for line in setup.secrets()["rabbitmq_login"].splitlines())

    assert setup.secrets()["amqp_url"] == f"amqp://{login['default_user']}:{login['default_pass']}@rabbitmq:5672/\n"
    assert len(login["default_pass"]) >= 32


@pytest.mark.parametrize(
    ("profiles", "code", "words"),
    [((), 2, "setup.sh groq"), (("grok",), 2, "no profile grok"), (("groq",), 1, "No key was given for groq")],
)
def test_setup_says_what_is_wrong(setup, profiles, code, words):
    """Nothing chosen, something unknown, and no key where one is needed."""
    done = setup.run(*profiles)

    assert done.returncode == code
    assert words in done.stderr
