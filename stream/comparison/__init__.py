"""How near simulated shoppers are to recorded ones: figures of behaviour, buyers, fraud, and a report with pictures."""
