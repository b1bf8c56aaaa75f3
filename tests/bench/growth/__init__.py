"""How throughput and latency go as something grows, beside what they should do in theory."""
