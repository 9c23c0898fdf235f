"""The recount: the rules implemented a second time, independently of the tables.

It imports nothing of netsold but `operations.files`.
"""
