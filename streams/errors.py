"""Errors of streams that concern more than one of its modules."""

from schemas.errors import NetsoldError


class KafkaUnreachable(NetsoldError):
    """No broker of the cluster answers."""

    exit_code = 5


class StateUnfit(NetsoldError):
    """State and source do not belong together: to continue would count twice or lose events.

    The sentence has both numbers and the remedy.
    """


class Fatal(NetsoldError):
    """This worker must not continue; the sentence says why and what to do."""
