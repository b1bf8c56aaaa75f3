"""A smaller, faster model that learns from a larger one, and what that costs and gains.

Hinton, Vinyals and Dean (2015): what a teacher thinks of all that could come tells more than what came.
"""
