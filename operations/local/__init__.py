"""What runs on this machine: the local Kafka, its processes and the data directory."""
