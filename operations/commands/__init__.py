"""The commands of `netsold`, one module each. Data go to stdout, everything else to stderr."""
