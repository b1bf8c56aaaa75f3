"""Search for how a model is best learned: trials of one configuration each, judged on what they did not learn from.

space ─> search: trials, pruned by epoch, kept in a journal ─> judging: figures on users or times held out
"""
