"""What is kept: from events to counted sales, per product, shop and cycle.

Pure: no clock, no random, no files, no network, no asyncio.
"""
