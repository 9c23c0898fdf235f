"""Versions of an application: comparing, promoting and removing them."""
