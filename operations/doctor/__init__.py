"""What `netsold doctor` checks, how it judges, and what it mends."""
