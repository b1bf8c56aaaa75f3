"""How good scores are, beside what a team would use instead, on the same rows: figures, baselines, a report."""
