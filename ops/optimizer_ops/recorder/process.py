"""The recorder as a process: from its configuration to its exit code."""

import asyncio
import os
from functools import partial

from sqlalchemy.engine import Engine

from optimizer_config.credentials import Secret
from optimizer_config.errors import ConfigError
from optimizer_config.model import Config
from optimizer_ops.alerts.part import Alerts
from optimizer_ops.history.database import DatabaseUnavailable, WrongVersion, migrate, open_engine, shown
from optimizer_ops.recorder.recorder import Recorder
from optimizer_ops.recorder.retention import EVERY_S, Retention
from optimizer_ops.recorder.store import HistoryStore
from optimizer_ops.recorder.writer import LONGEST_PAUSE_S, Writer
from optimizer_service.exit_codes import EXIT_CONFIG
from optimizer_service.health import AdminRefused, AdminServer, Readiness
from optimizer_service.lifetime import every, exit_code_of, keep_session, stop_on_signals, what_to_do
from optimizer_service.logs import logger
from optimizer_service.metrics import describe_process
from optimizer_service.systemd import keep_informed
from optimizer_wire.backoff import backoff_s
from optimizer_wire.broker_errors import NotPermitted, TopologyDiffers
from optimizer_wire.cancellation import set_within
from optimizer_wire.ids import new_id
from optimizer_wire.topology import Names

TICK_S = 1.0
# A third of the share of whoever is not nice at all, where there is not enough for all.
NICE = 5
LEAVE_S = 5.0


def give_way() -> None:
    """Let others have the processor first: agents wait for them, while events wait on RabbitMQ's disk."""
    os.nice(max(0, NICE - os.nice(0)))


async def serve(
    config: Config,
    *,
    admin_host: str = "127.0.0.1",
    admin_port: int = 0,
    admin_token: Secret | None = None,
) -> int:
    """Run a recorder until it is asked to stop; returns the exit code."""
    give_way()
    instance = new_id()[-12:]
    log = logger("recorder").bind(instance=instance)
    stop = stop_on_signals()
    try:
        engine = open_engine(config.history_url, create=True)
        alerts = Alerts(config, engine, f"recorder/{instance}")
    except (DatabaseUnavailable, ConfigError) as error:
        log.error("cannot start", reason=str(error))
        return EXIT_CONFIG
    writer = Writer(HistoryStore(engine, instance), log)
    recorder = Recorder(Names(config.prefix), writer, stop, log)
    readiness = partial(_readiness, recorder, writer)
    admin = AdminServer(admin_host, admin_port, readiness, token=admin_token)
    describe_process("recorder", readiness, uses=["rabbitmq"])
    background: list[asyncio.Future[None]] = []
    try:
        log.info("admin", url=await admin.start())
        background.append(asyncio.ensure_future(keep_informed(readiness, stop, flowing=lambda: writer.flowing)))
        if not await _migrated(engine, writer, stop):
            return 0
        log.info("history", at=shown(engine), keep_days=config.keep_days)
        retention = Retention(engine, config.keep_days, config.keep_hourly_days, log)
        background.append(asyncio.ensure_future(every(EVERY_S, retention.run)))
        background.append(asyncio.ensure_future(every(TICK_S, alerts.run)))
        await keep_session(config.amqp_url, f"optimizer recorder {instance}", recorder.serve, stop, log)
    except (AdminRefused, WrongVersion) as error:
        log.error("cannot start", reason=str(error))
        return EXIT_CONFIG
    except (TopologyDiffers, NotPermitted) as error:
        log.error("cannot start", reason=what_to_do(error))
        return exit_code_of(error)
    finally:
        for each in background:
            each.cancel()
        if background:
            # Whatever one of them still waits for, a process that was asked to leave leaves.
            await asyncio.wait(background, timeout=LEAVE_S)
        await admin.stop()
        engine.dispose()
    log.info("stopped")
    return 0


def _readiness(recorder: Recorder, writer: Writer) -> Readiness:
    missing = {} if recorder.serving else {"rabbitmq": "not consuming"}
    if writer.trouble is not None:
        missing["history"] = writer.trouble
    return Readiness(missing=missing)


async def _migrated(engine: Engine, writer: Writer, stop: asyncio.Event) -> bool:
    """Bring the tables up to date, as soon as the database is there; False if the process is to stop before.

    :raises WrongVersion: if they are newer than this program.
    """
    attempt = 0
    while not stop.is_set():
        try:
            await asyncio.to_thread(migrate, engine)
        except WrongVersion:
            raise
        except DatabaseUnavailable as error:
            writer.failed(error)
        else:
            writer.worked()
            return True
        await set_within(stop, backoff_s(attempt, cap_s=LONGEST_PAUSE_S))
        attempt += 1
    return False
