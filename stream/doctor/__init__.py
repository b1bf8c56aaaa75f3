"""What a worker with these settings needs, looked at one by one: `behaviour-stream doctor`.

Nothing is changed by looking: no topic of ours is made, no record is left, no worker is fenced. Kafka itself makes its
internal topics, of groups and of transactions, where it is asked about one for the first time.
"""
