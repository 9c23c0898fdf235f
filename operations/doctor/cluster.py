"""Judges brokers, copies, topics, sizes, the brokers' disks and the controller's clock.

Pure: no clock, no requests.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from operations.doctor.results import CheckResult, fault, ok, warning
from operations.in_words import duration, size
from schemas.wording import name_list, with_count
from streams.replication import short_partitions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.brokers import ClockReading, LogDir
    from streams.observe import Observation
    from streams.settings import Settings
    from streams.topic_policy import Mismatch, Topic

LEAST_OFFSETS_DAYS: Final = 7
"""Kafka's default of how long a group without members keeps its offsets."""

SKEW_WARNING_MS: Final = 2_000
SKEW_FAULT_MS: Final = 60_000

LEAST_FREE_SHARE: Final = 0.1
LEAST_FREE_BYTES: Final = 2**30
"""Less free space than this share of a disk is a warning, less than these bytes a fault."""

TRANSACTION_TIMEOUT: Final = "transaction.max.timeout.ms"
OFFSETS_MINUTES: Final = "offsets.retention.minutes"
BROKER_SETTINGS: Final = (TRANSACTION_TIMEOUT, OFFSETS_MINUTES)
"""Settings of brokers that netsold depends on."""

_LOSES_MARKERS: Final = ("4.3", "4.4")
"""Releases of which a lone broker may lose the end of a transaction (docs/decisions/0025)."""

_DAY_MINUTES: Final = 24 * 60
_START_BROKERS: Final = "start the brokers that are away, and read their logs"


def judge_brokers(
    observation: Observation, releases: Mapping[int, str | None]
) -> Iterator[CheckResult]:
    """Which brokers answer, and the release of each."""
    details = [
        {"broker": broker, "answers": answers, "kafka": releases.get(broker)}
        for broker, answers in sorted(observation.brokers.items())
    ]
    away = [str(broker) for broker, answers in observation.brokers.items() if not answers]
    if away:
        sentence = (
            f"{with_count('broker', away)} of {len(details)} gave no answer: {name_list(away)}"
        )
        # what a lost minority makes impossible is found by the check of copies
        minority = 2 * len(away) < len(details)
        yield (warning if minority else fault)("brokers", sentence, _START_BROKERS, details)
    else:
        names = sorted({release or "an unknown release" for release in releases.values()})
        sentence = f"{with_count('broker', details)} answered; Kafka {', '.join(names)}"
        yield ok("brokers", sentence, details)
    loses = sorted({one for one in releases.values() if one in _LOSES_MARKERS})
    if loses and len(observation.brokers) == 1:
        yield warning(
            "brokers",
            f"a lone broker of Kafka {loses[0]} may leave a transaction open when it is killed",
            "run three brokers, or Kafka 4.2 (docs/decisions/0025-kafka-4-2.md)",
        )


def judge_broker_settings(configs: Mapping[str, str], settings: Settings) -> Iterator[CheckResult]:
    """The broker's bounds on transactions and on how long offsets are kept."""
    check = "broker_settings"
    most_ms = int(configs.get(TRANSACTION_TIMEOUT, settings.transaction_timeout_ms))
    days = int(configs.get(OFFSETS_MINUTES, LEAST_OFFSETS_DAYS * _DAY_MINUTES)) / _DAY_MINUTES
    if most_ms < settings.transaction_timeout_ms:
        yield fault(
            check,
            f"the brokers allow transactions of {most_ms:,} ms at most, and workers need "
            f"NETSOLD_TRANSACTION_TIMEOUT_MS, {settings.transaction_timeout_ms:,}",
            f"set NETSOLD_TRANSACTION_TIMEOUT_MS={most_ms}, or raise {TRANSACTION_TIMEOUT}",
        )
    if days < LEAST_OFFSETS_DAYS:
        yield warning(
            check,
            f"the brokers forget a group's offsets {days:,.1f} days after its last worker ended",
            f"set {OFFSETS_MINUTES}={LEAST_OFFSETS_DAYS * _DAY_MINUTES} or more on each broker",
        )
    if most_ms >= settings.transaction_timeout_ms and days >= LEAST_OFFSETS_DAYS:
        yield ok(
            check,
            f"transactions of up to {most_ms / 1000:,.0f} s are allowed; offsets are kept for "
            f"{days:,.0f} days without workers",
        )


def judge_replicas(observation: Observation, settings: Settings) -> Iterator[CheckResult]:
    """Partitions without a leader, and partitions with too few copies."""
    short = short_partitions(observation, settings.kafka.min_insync_replicas)
    for make, lack, names in (
        (fault, "without a leader that answers", short.offline),
        (fault, "with fewer copies than a write needs", short.below_min_isr),
        (warning, "with fewer copies than there should be", short.under_replicated),
    ):
        if names:
            sentence = f"{with_count('partition', names)} {lack}: {name_list(names)}"
            details = [{"partition": name, "lack": lack} for name in names]
            yield make("replicas", sentence, _START_BROKERS, details)
    if not (short.offline or short.below_min_isr or short.under_replicated):
        parts = [part for topic in observation.topics.values() for part in topic.partitions]
        yield ok(
            "replicas", f"{with_count('partition', parts)}, each with its leader and all copies"
        )


def judge_topics(mismatches: Sequence[Mismatch], declared: Sequence[Topic]) -> list[CheckResult]:
    """The topics' settings against what netsold needs."""
    if not mismatches:
        return [ok("topics", f"all {len(declared)} topics exist, with the settings they need")]
    return [
        fault(
            "topics",
            str(one).removesuffix(f": {one.remedy}"),
            one.remedy.removeprefix("run ").strip("`"),
            [{"topic": one.topic, "aspect": one.aspect, "is": one.actual, "needs": one.wanted}],
        )
        for one in mismatches
    ]


def judge_sizes(dirs: Sequence[LogDir]) -> CheckResult:
    """The bytes of each topic, all copies counted."""
    sizes: Counter[str] = Counter()
    for one in dirs:
        sizes.update(one.topic_bytes)
    largest = [f"{topic} {size(number)}" for topic, number in sizes.most_common(3)]
    sentence = f"{with_count('topic', list(sizes))}, {size(sizes.total())} with all copies"
    return ok(
        "sizes",
        f"{sentence}; largest: {', '.join(largest)}" if largest else sentence,
        [{"topic": topic, "bytes": number} for topic, number in sizes.most_common()],
    )


def judge_broker_disks(dirs: Sequence[LogDir]) -> Iterator[CheckResult]:
    """The disks of the brokers' logs."""
    for one in dirs:
        if one.failed is not None:
            yield fault(
                "broker_disks",
                f"broker {one.broker} can't use {one.path}: {one.failed}",
                f"mend the disk of {one.path} on broker {one.broker}, and restart the broker",
            )
        elif one.total_bytes > 0:
            where = f"broker {one.broker}, {one.path}"
            yield judge_disk("broker_disks", where, one.usable_bytes, one.total_bytes)


def judge_disk(check: str, where: str, free_bytes: int, total_bytes: int) -> CheckResult:
    """The free space of one disk."""
    share = free_bytes / total_bytes if total_bytes else 0.0
    sentence = f"{where}: {size(free_bytes)} of {size(total_bytes)} are free ({share:.0%})"
    details = [{"where": where, "free_bytes": free_bytes, "total_bytes": total_bytes}]
    if free_bytes < LEAST_FREE_BYTES:
        return fault(check, sentence, "make room on this disk, or mount a larger one", details)
    if share < LEAST_FREE_SHARE:
        return warning(check, sentence, "make room on this disk, or mount a larger one", details)
    return ok(check, sentence, details)


def judge_clock(reading: ClockReading) -> CheckResult:
    """This machine's clock against the controller's."""
    skew = reading.skew_ms
    details = [{"skew_ms": skew, "uncertainty_ms": reading.after_ms - reading.before_ms}]
    if abs(skew) < SKEW_WARNING_MS:
        return ok("clock", f"this clock and the controller's differ by {abs(skew)} ms", details)
    which = "ahead of" if skew > 0 else "behind"
    sentence = f"this clock is {duration(abs(skew) / 1000)} {which} the controller's"
    make = fault if abs(skew) >= SKEW_FAULT_MS else warning
    return make(
        "clock", sentence, "timedatectl status   # on this machine and the brokers", details
    )
