"""A worker as a process: from its configuration to its exit code."""

import asyncio
import os

from optimizer_backends.http import BackendClient
from optimizer_backends.prices import Prices
from optimizer_config.credentials import Secret, api_key
from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend, Config
from optimizer_service.crash_points import arm
from optimizer_service.exit_codes import EXIT_CONFIG, EXIT_INTERNAL
from optimizer_service.health import AdminRefused, AdminServer, Readiness, degraded
from optimizer_service.lifetime import exit_code_of, keep_session, stop_on_signals, what_to_do
from optimizer_service.logs import logger, tell_redis
from optimizer_service.metrics import describe_process
from optimizer_service.self_check import NotConsuming
from optimizer_service.systemd import keep_informed
from optimizer_service.tracing import Tracing
from optimizer_state.budget import Budget
from optimizer_state.flights import Flights
from optimizer_state.learned import Learned
from optimizer_state.quotas import Quotas
from optimizer_state.retries import Retries
from optimizer_state.share import Share
from optimizer_state.store import Store
from optimizer_wire.broker_errors import NotPermitted, TopologyDiffers
from optimizer_wire.ids import new_id
from optimizer_wire.topology import Names
from optimizer_workers.allowance import Allowance
from optimizer_workers.estimate import Estimator
from optimizer_workers.repeats import Repeats
from optimizer_workers.upstream import Upstream
from optimizer_workers.worker import Parts, Worker


async def serve(
    config: Config,
    backend: Backend,
    *,
    admin_host: str = "127.0.0.1",
    admin_port: int = 0,
    admin_token: Secret | None = None,
) -> int:
    """Run a worker of a backend until it is asked to stop; returns the exit code."""
    instance = new_id()[-12:]
    log = logger("worker").bind(instance=instance, backend=backend.name)
    try:
        armed = arm(os.environ)
        traces = Tracing(config.tracing, "worker", instance)
        secret, prices = _key(backend), Prices(config.prices_file)
    except ConfigError as error:
        log.error("cannot start", reason=str(error))
        return EXIT_CONFIG
    if armed:
        log.warning("this process will kill itself", at=armed)
    if unpriced := money_without_price(backend, config):
        log.warning("a limit in money counts nothing", reason=unpriced)
    if backend.prices:
        await asyncio.to_thread(prices.preload)
    stop = stop_on_signals()
    store = Store(
        config.redis_url,
        config.prefix,
        on_change=lambda why: tell_redis(log, why),
    )
    async with BackendClient(backend, secret, limit=backend.concurrency) as client:
        made = parts(config, backend, store, instance, client, prices)
        # Early: what it starts in Redis takes effect while this process is still connecting.
        await made.budget.restore()
        worker = Worker(store, Names(config.prefix), made, instance, stop, log)

        def readiness() -> Readiness:
            return Readiness(
                missing={} if worker.serving else {"rabbitmq": "not consuming"},
                degraded=degraded(worker.blocked, "away: budgets by this worker's share" if store.away else None),
            )

        describe_process("worker", readiness)
        admin = AdminServer(admin_host, admin_port, readiness, token=admin_token)
        beating = asyncio.ensure_future(worker.beat_for_ever())
        informing = asyncio.ensure_future(keep_informed(readiness, stop, flowing=lambda: worker.flowing))
        try:
            log.info("admin", url=await admin.start())
            await keep_session(config.amqp_url, f"optimizer worker {backend.name} {instance}", worker.serve, stop, log)
        except (TopologyDiffers, NotPermitted) as error:
            log.error("cannot start", reason=what_to_do(error))
            return exit_code_of(error)
        except NotConsuming as error:
            log.error("leaving", reason=str(error))
            await worker.finish()
            return EXIT_INTERNAL
        except AdminRefused as error:
            log.error("cannot start", reason=str(error))
            return EXIT_CONFIG
        finally:
            beating.cancel()
            informing.cancel()
            await worker.leave()
            await admin.stop()
            await store.close()
            await asyncio.to_thread(traces.stop)
    log.info("stopped")
    return 0


def money_without_price(backend: Backend, config: Config) -> str | None:
    """Why a backend's limits in money cannot hold, if they cannot."""
    if config.prices_file or not any(limit.dimension == "usd" for limit in backend.limits):
        return None
    if backend.kind == "local":
        return f'{backend.name} is local (kind = "local") and costs nothing unless prices_file says so.'
    if backend.prices is None:
        return f"Nobody knows the prices of {backend.name}: write genai_prices for it, or a prices_file."
    return None


def parts(
    config: Config, backend: Backend, store: Store, instance: str, client: BackendClient, prices: Prices
) -> Parts:
    """What a worker of a backend works with."""
    budget = Budget(store, backend, instance)
    learned = Learned(store, backend)
    estimator = Estimator(backend, prices, learned.estimates)
    shared = any(other.max_share is not None for other in config.backends.values())
    repeats = Repeats(Retries(store, config.retries), config.waits.retry_s)
    allowance = Allowance(budget, estimator, Share(store, backend) if shared else None, repeats)
    return Parts(
        upstream=Upstream(backend, client, prices, allowance, estimator, Flights(store)),
        budget=budget,
        allowance=allowance,
        learned=learned,
        repeats=repeats,
        quotas=Quotas(store, config.quotas),
        weight=lambda agent: config.weight_of(agent[1]),
        waits=config.waits,
    )


def _key(backend: Backend) -> Secret | None:
    secret = api_key(backend, os.environ)
    if secret is None and backend.api_key_env and backend.kind != "local":
        raise ConfigError(
            f"The backend {backend.name} needs a key: set {backend.api_key_env}, or api_key_file in the configuration, "
            f"or a systemd credential named {backend.name}."
        )
    return secret
