"""What flows: the only room that knows Kafka and Faust; moves events through the pure core, exactly once."""
