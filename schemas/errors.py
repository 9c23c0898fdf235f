"""The root of netsold's own errors.

It lies here because all rooms raise them, also those that must not import `streams`.
"""

from typing import ClassVar


class NetsoldError(Exception):
    """An error that a user sees.

    Its text is one sentence: what happened, where (such as `orders-3@1841`), and what to do. A
    command that ends with it prints that sentence without a traceback.
    """

    exit_code: ClassVar[int] = 1
    """Of the command that it ends: one of `EXIT_CODES` in `operations/cli.py`."""
