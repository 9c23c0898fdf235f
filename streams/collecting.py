"""Rare garbage collections, for processes that make many objects with hardly a reference cycle."""

import gc


def collect_rarely(objects: int) -> None:
    """Collect when this many more objects exist, and never look at the present ones again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(objects, 20, 50)
