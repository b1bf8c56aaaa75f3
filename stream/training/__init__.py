"""How a model is made: from simulated shop events to the files in `stream/models`. Nothing that serves imports it."""
