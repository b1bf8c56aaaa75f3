"""Pages with pictures that need nothing but themselves: what the reports of `compare` and `evaluate` share."""
