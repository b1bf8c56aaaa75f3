"""What a worker with these settings needs, looked at one by one: `behaviour-stream doctor`.

Nothing is changed by looking: no topic is made, no record is left, no worker is fenced.
"""
