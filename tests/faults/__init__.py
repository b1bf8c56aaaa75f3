"""The campaign: workers and brokers under faults drawn by seed, and what must hold all the same."""
