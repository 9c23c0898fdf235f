"""The commands of `netsold`, one module each; what it prints goes to stdout, all else to stderr."""
