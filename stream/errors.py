"""Errors by whose fault they are; each says where, what was expected, what came, what happens next.

    BehaviourStreamError
    ├── SettingsError     the process must not start: settings, model file; exit code 2
    │   └── TopicsError   so must it with these topics (kafka/topics.py, since it holds what is found there)
    ├── BrokerError       the broker is absent, or refuses; exit code 3
    ├── StateError        the state of a partition cannot be trusted: stop and restore it; exit code 4
    │   └── FencedError   another worker has taken a partition over: drop what was not committed of it
    ├── PassingError      it passes by itself: drop what is not committed, and begin anew; exit code 5 where it does not
    └── StalledError      the broker answers, records wait, and nothing is committed; exit code 6

A bad record is none of these: it is a value (`events.Reject`), so that nothing else in its batch is lost by it.
"""


class BehaviourStreamError(Exception):
    """Base of all errors whose message is meant for the person at the terminal."""

    exit_code = 1


class SettingsError(BehaviourStreamError):
    """A setting, model file or topic layout that makes it wrong to start."""

    exit_code = 2


class BrokerError(BehaviourStreamError):
    """The broker cannot be reached, or refuses what was asked."""

    exit_code = 3


class StateError(BehaviourStreamError):
    """Rows, offsets or ownership of a partition are not what they must be."""

    exit_code = 4


class FencedError(StateError):
    """A partition is another worker's: its session ran out, or a transaction was open for too long."""

    def __init__(
        self,
        partition: int,
        why: str = "another worker has taken it over, or its transaction outlived --transaction-timeout-ms",
    ) -> None:
        super().__init__(f"partition {partition}: {why}; what was not committed is done again by whoever has it")


class PassingError(BehaviourStreamError):
    """What was begun cannot be ended, for a reason outside that passes: the broker is away, the disk full, a source no
    longer what it was. Nothing that is stored is wrong; a worker begins anew, and waits for what it needs."""

    exit_code = 5


class StalledError(BehaviourStreamError):
    """A worker that gets nowhere though nothing outside of it is in the way."""

    exit_code = 6
