"""How good the model is on data that is not in the project, one configuration for all: `python -m tests.accuracy`."""
