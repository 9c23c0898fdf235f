"""The command line, one module a command, and the processes of one machine.

It reads and writes Kafka through `streams` only, and imports neither Faust nor a Kafka client.
"""
