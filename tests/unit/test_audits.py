"""The last audit, as readers show it."""

from schemas.audits import AuditRecord, decode_audit, encode_audit
from serving import metrics
from serving.audits import show


def shown() -> tuple[float, float]:
    """The metrics of the last audit: when one succeeded, and how many rows differed."""
    gauges = metrics.AUDIT_LAST_SUCCESS, metrics.AUDIT_MISMATCHES
    last, mismatches = (one._value.get() for one in gauges)
    return last, mismatches


def test_metrics_have_the_last_success_and_the_last_differences() -> None:
    """An audit with differences keeps the time of the last one without; never is 0."""
    show(None)
    assert shown() == (0, 0)
    record = AuditRecord(
        app="netsold",
        at="2026-07-02T10:00:00.000Z",
        build="1",
        mismatches=3,
        succeeded_at="1970-01-01T00:00:05.000Z",
        vector={"orders-0": 17},
    )
    show(decode_audit(encode_audit(record)))
    assert shown() == (5, 3)
