"""Facts about the machine and the versions that a result is worth nothing without. Names no host and no path."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.processes import CORES

PACKAGES = ("granian", "flask", "werkzeug", "authlib", "joserfc", "cryptography", "sqlalchemy", "argon2-cffi")


def facts() -> dict[str, str | int | float | dict[str, str]]:
    """CPU model, cores usable, memory in GB, kernel, Python, SQLite and package versions, load average at the start."""
    return {
        "cpu": _cpu_model(),
        "cores": len(CORES),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
