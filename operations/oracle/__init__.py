"""The recount: the rules written a second time, independent of the tables.

It imports nothing of netsold but the reading of event files.
"""
