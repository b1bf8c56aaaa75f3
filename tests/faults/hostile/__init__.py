"""Records as broken producers send them: `python -m tests.faults.hostile` sends a million among good ones."""
