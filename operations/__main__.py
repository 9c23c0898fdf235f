"""The entry point of `netsold`: it handles Ctrl-C before it imports anything that takes time."""

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
