"""What every process of netsold measures of itself: its build, and the disk of its data directory.

prometheus_client adds what it knows of a process: start, memory, CPU, file handles.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    Gauge,
    disable_created_metrics,
)

from schemas.columns import RULES
from streams.build import COMMIT_CHARS, this_build

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import CollectorRegistry

BUILD_INFO = Gauge(
    "netsold_build_info",
    "Always 1; the labels say what runs",
    ["version", "commit", "rules"],
    registry=None,
)
DISK_FREE = Gauge(
    "netsold_disk_free_bytes",
    "Free on the disk of the data directory; NaN while that can't be read",
    registry=None,
)
DISK_USED = Gauge(
    "netsold_disk_used_bytes",
    "Used on the disk of the data directory, by whatever; NaN while that can't be read",
    registry=None,
)


def measure_process(registry: CollectorRegistry, data_dir: Path) -> None:
    """Add these metrics, and prometheus_client's own, to those of a process; once."""
    # one more series each, which no rule needs
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
    build = this_build()
    BUILD_INFO.labels(build.version, build.commit[:COMMIT_CHARS], str(RULES)).set(1)
    DISK_FREE.set_function(lambda: _disk(data_dir)[0])
    DISK_USED.set_function(lambda: _disk(data_dir)[1])
    for collector in (
        BUILD_INFO,
        DISK_FREE,
        DISK_USED,
        PROCESS_COLLECTOR,
        PLATFORM_COLLECTOR,
        GC_COLLECTOR,
    ):
        registry.register(collector)


def _disk(directory: Path) -> tuple[float, float]:
    """Bytes that are free and used."""
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return float("nan"), float("nan")
    return float(usage.free), float(usage.used)
