"""What flows: the only room that knows Kafka and Faust.

Moves events through the pure core, exactly once.
"""
