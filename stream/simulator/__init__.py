"""Simulated shoppers, and the way to put them on the topics. What it makes is called simulated wherever it is shown."""
