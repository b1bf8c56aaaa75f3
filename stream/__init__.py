"""behaviour-stream: purchase-intent and anomaly scores for every shop event, from a per-user LSTM over Kafka.

The way of the data, which is also the reading order (no module imports from one below it):

  events -> decode -> merge -> intake -> rows -> sequences -> table -> habits -> features -> model -> anomaly -> scorer
  -> encode, composed in `pipeline`.

Dimension letters, used in every docstring and comment that gives a shape:

    N  events of a batch              U  distinct users of a batch     T  steps of the busiest user of a batch
    F  real-valued features           H  hidden units                  L  layers
    S  slots of the table             R  events of a rolling sequence  K  purchase-intent horizons
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("behaviour-stream")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"
