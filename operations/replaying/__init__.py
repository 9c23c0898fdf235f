"""Counts the log again into a store of its own, up to the offsets that the tables include.

The stages are the installed ones, the same code as a worker's. Nothing is written to Kafka.
"""
