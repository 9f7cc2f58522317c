"""Redis: there, new enough, keeping what must be kept, with a clock like ours."""

import time
from typing import Any

from optimizer_config.model import Config
from optimizer_ops.doctor.finding import Area, Finding
from optimizer_ops.formatting.units import duration
from optimizer_state.store import RedisAway, Store
from optimizer_wire.urls import masked_url

_OLDEST = 7
_WANTED_POLICY = "volatile-lfu"
_NEARLY_FULL = 0.9
# Redis' clock decides about budgets, ours about deadlines and the times in events.
_SKEW_S = 2.0
_FAR_S = 60.0
_KEEP_MS = 5_000


async def examine(config: Config) -> list[Finding]:
    """What is found of Redis."""
    area = Area("redis")
    store = Store(config.redis_url, config.prefix)
    try:
        info = await store.command("INFO")
        _version(area, config, info)
        await _clock(area, store)
        _memory(area, info)
        _persistence(area, info)
        await store.command("SET", f"{config.prefix}:probe", 1, "PX", _KEEP_MS)
        area.ok("It can be written.")
    except RedisAway as error:
        area.failed(str(error), _what_to_do(str(error)))
    finally:
        await store.close()
    return area.findings


def _what_to_do(said: str) -> str:
    if "NOAUTH" in said or "WRONGPASS" in said or "Authentication" in said or "invalid username" in said:
        return "Correct user and password in OPTIMIZER_REDIS_URL."
    if "NOPERM" in said:
        return "Give this Redis user all commands and all keys of the prefix."
    if "READONLY" in said or "read only" in said:
        return "This is a replica: name the master in OPTIMIZER_REDIS_URL."
    if "maxmemory" in said:
        return "Redis is full: give it more memory, and maxmemory-policy volatile-lfu."
    return "Start Redis, or correct OPTIMIZER_REDIS_URL; optimizer services up starts one for trying."


def _version(area: Area, config: Config, info: dict[str, Any]) -> None:
    version = str(info.get("redis_version", "?"))
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < _OLDEST:
        area.failed(f"Redis {version} is too old.", "Redis 7 or 8.")
    else:
        area.ok(f"Redis {version} at {masked_url(config.redis_url)}.")
    if info.get("role") == "slave":
        area.failed("This Redis is a replica, which takes no writes.", "Name the master in OPTIMIZER_REDIS_URL.")


async def _clock(area: Area, store: Store) -> None:
    asked = time.time()
    seconds, microseconds = await store.command("TIME")
    skew_s = int(seconds) + int(microseconds) / 1e6 - (asked + time.time()) / 2
    told = f"The clocks of this machine and of Redis differ by {duration(abs(skew_s))}"
    do = "Synchronise the clocks of all machines (chrony, systemd-timesyncd)."
    if abs(skew_s) > _FAR_S:
        area.failed(f"{told}.", do)
    elif abs(skew_s) > _SKEW_S:
        area.warning(f"{told}.", do)
    else:
        area.ok(f"Its clock is ours (within {max(abs(skew_s), 0.001) * 1000:.0f} ms).")


def _memory(area: Area, info: dict[str, Any]) -> None:
    policy, most, used = str(info.get("maxmemory_policy", "?")), int(info.get("maxmemory", 0)), int(info["used_memory"])
    shown = f"{used / 1024**2:.0f} MiB used" + (f" of {most / 1024**2:.0f} MiB" if most else "")
    do = f"redis-cli config set maxmemory-policy {_WANTED_POLICY}, and in redis.conf."
    if policy.startswith("allkeys-"):
        area.failed(f"maxmemory-policy is {policy}: when memory is short, Redis drops budgets and flights, too.", do)
    elif not most:
        area.warning(
            f"No maxmemory ({shown}, {policy}): answers in the cache may fill the machine.",
            f"Set maxmemory to what the machine can spare, and maxmemory-policy {_WANTED_POLICY}.",
        )
    elif used > _NEARLY_FULL * most and policy == "noeviction":
        area.failed(f"Memory is nearly full ({shown}), and {policy} lets nothing go.", do)
    elif policy != _WANTED_POLICY:
        area.warning(f"maxmemory-policy is {policy} ({shown}).", do)
    else:
        area.ok(f"Memory: {shown}, {policy}.")


def _persistence(area: Area, info: dict[str, Any]) -> None:
    if str(info.get("aof_last_write_status", "ok")) != "ok" or str(info.get("rdb_last_bgsave_status", "ok")) != "ok":
        area.failed("Redis could not write to its disk last time.", "Its log says why: is the disk full?")
    elif int(info.get("aof_enabled", 0)):
        area.ok("The append-only file is on: budgets survive a restart of everything.")
    else:
        area.warning(
            "The append-only file is off: after a restart of everything at once, windows begin unused.",
            "redis-cli config set appendonly yes, and in redis.conf.",
        )
