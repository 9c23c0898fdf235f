"""Who mends: the command line, the local Kafka, and one module a command.

It goes through `streams` for everything that is in Kafka, and imports neither Faust nor a Kafka
client.
"""
