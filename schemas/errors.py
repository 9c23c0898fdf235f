"""The root of netsold's own errors.

It lies here because all rooms raise them, also those that must not import `streams`.
"""

from typing import ClassVar


class NetsoldError(Exception):
    """An error that a user may mend; everything else is a fault of netsold.

    A command that ends with it prints its text without a traceback: one sentence of what happened,
    where (such as `orders-3@1841`), and what to do.
    """

    exit_code: ClassVar[int] = 1
    """Of the command that it ends: one of `EXIT_CODES` in `operations/cli.py`."""
