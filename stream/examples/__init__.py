"""Programs to copy: how teams use the output topics."""
