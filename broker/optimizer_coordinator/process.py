"""The coordinator as a process: from its configuration to its exit code."""

import asyncio
import os
from contextlib import suppress

from optimizer_config.credentials import Secret
from optimizer_config.errors import ConfigError
from optimizer_config.model import Config
from optimizer_coordinator.coordinator import Coordinator
from optimizer_coordinator.fleet_gauges import LOOK_S
from optimizer_coordinator.snapshot import REFRESH_S
from optimizer_service.crash_points import arm
from optimizer_service.exit_codes import EXIT_CONFIG, EXIT_INTERNAL
from optimizer_service.health import AdminRefused, AdminServer, Readiness, degraded
from optimizer_service.lifetime import every, exit_code_of, keep_session, stop_on_signals, what_to_do
from optimizer_service.logs import logger, tell_redis
from optimizer_service.metrics import describe_process
from optimizer_service.self_check import NotConsuming
from optimizer_service.systemd import keep_informed
from optimizer_service.tracing import Tracing
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import NotPermitted, TopologyDiffers
from optimizer_wire.cancellation import end
from optimizer_wire.ids import new_id

SWEEP_S = 60.0


async def serve(
    config: Config, *, admin_host: str = "127.0.0.1", admin_port: int = 0, admin_token: Secret | None = None
) -> int:
    """Run a coordinator until it is asked to stop; returns the exit code."""
    instance = new_id()[-12:]
    log = logger("coordinator").bind(instance=instance)
    try:
        armed = arm(os.environ)
        traces = Tracing(config.tracing, "coordinator", instance)
    except ConfigError as error:
        log.error("cannot start", reason=str(error))
        return EXIT_CONFIG
    if armed:
        log.warning("this process will kill itself", at=armed)
    stop = stop_on_signals()
    store = Store(
        config.redis_url,
        config.prefix,
        on_change=lambda why: tell_redis(log, why),
    )
    coordinator = Coordinator(config, store, instance, stop, log)

    def readiness() -> Readiness:
        return Readiness(
            missing={} if coordinator.serving else {"rabbitmq": "not consuming"},
            degraded=degraded(
                coordinator.blocked, "away: every request leads a call of its own" if store.away else None
            ),
        )

    describe_process("coordinator", readiness)
    admin = AdminServer(admin_host, admin_port, readiness, token=admin_token)
    try:
        log.info("admin", url=await admin.start())
    except AdminRefused as error:
        log.error("cannot start", reason=str(error))
        return EXIT_CONFIG
    background = [
        asyncio.ensure_future(every(REFRESH_S, coordinator.watch.look)),
        asyncio.ensure_future(every(LOOK_S, coordinator.gauges.look_at_backends)),
        asyncio.ensure_future(every(SWEEP_S, _sweeper(Flights(store)))),
        asyncio.ensure_future(keep_informed(readiness, stop, flowing=lambda: coordinator.flowing)),
    ]
    keeping = asyncio.ensure_future(
        keep_session(config.amqp_url, f"optimizer keeper {instance}", coordinator.keeper.serve, stop, log)
    )
    try:
        await keep_session(config.amqp_url, f"optimizer coordinator {instance}", coordinator.serve, stop, log)
        await keeping
    except NotConsuming as error:
        log.error("leaving", reason=str(error))
        return EXIT_INTERNAL
    except (TopologyDiffers, NotPermitted) as error:
        log.error("cannot start", reason=what_to_do(error))
        return exit_code_of(error)
    finally:
        await end((*background, keeping))
        await admin.stop()
        await store.close()
        await asyncio.to_thread(traces.stop)
    log.info("stopped")
    return 0


def _sweeper(flights: Flights):  # type: ignore[no-untyped-def]  # noqa: ANN202
    async def sweep() -> None:
        with suppress(RedisAway):
            await flights.sweep()

    return sweep
