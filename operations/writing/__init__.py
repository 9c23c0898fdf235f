"""Writing events to the log on behalf of a command, and waiting until the tables include them."""
