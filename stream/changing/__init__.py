"""From one model to another while events come: what is announced, and at which point of each partition it begins.

announcement ─> offered: what this worker can use ─┐
                                                   ├─> plan ─> cutover: drain, commit the cut, exchange
rows of the partitions: by which model each is ────┘                    └─> refreshing: carries in the background
"""
