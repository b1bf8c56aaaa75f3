"""What a demand takes: workers, partitions, memory, disk and traffic, from measured constants. Pure but for `trial`.

constants, demands -> activity -> cost -> plan -> memory, traffic -> limits -> sizing -> words
"""
