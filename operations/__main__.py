"""Where a `netsold` process begins.

Ctrl-C is handled before anything that takes time is imported.
"""

from __future__ import annotations

from operations import interrupts


def main() -> None:
    """Run the command line."""
    interrupts.handle_by(interrupts.leave_at_once)
    from operations import cli

    with interrupts.handled():
        cli.main()


if __name__ == "__main__":
    main()
