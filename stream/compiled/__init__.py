"""The hot loops again, compiled: each gives bit for bit what the function gives that it stands for.

What is decided, refused or rare is left to those functions: a compiled one that meets anything it is not sure of says
so, and is not believed. They are the reference, which tests hold both to, and what runs where Numba cannot.
"""
