"""Calling backends: one pure adapter per protocol family, one aiohttp shell, a closed set of outcomes, prices."""
