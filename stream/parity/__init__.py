"""Whether the service published what offline scoring gives of the same events, in the order in which it applied them.

published ─┐
           ├─> applied order ─> offline scores ─> differences: the largest of each figure, and where
events ────┘
"""
