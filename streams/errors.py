"""Errors of Kafka that a person can mend, each told in one sentence.

`exit_code` is the command's.
"""


class KafkaUnreachable(Exception):
    """No broker of the cluster answers."""

    exit_code = 5


class Fatal(Exception):
    """This worker must not go on; the sentence says why and what to do."""
