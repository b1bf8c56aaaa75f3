"""How good purchase intent is, beside what a team would use instead: figures, baselines on the same rows, a report."""
