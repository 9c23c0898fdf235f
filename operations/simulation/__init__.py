"""A simulated marketplace: its events, and faults in them."""
