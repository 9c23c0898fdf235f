"""The readers: each follows the tables' changelogs and the journal into a store of its own.

It answers from that store over HTTP.
"""
