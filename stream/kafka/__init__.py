"""Everything that talks to Kafka: transport of frames, changelogged table, checkpoint, publisher, topics, broker."""
