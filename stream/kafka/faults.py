"""What an error of aiokafka means: refused for good, or a broker that is away, slow, or not what it was."""

from __future__ import annotations

from aiokafka import errors as kafka

from stream.errors import BehaviourStreamError, BrokerError, PassingError

# What the broker would answer again: it is for a person to change. All else has been seen to pass, or may.
_REFUSALS = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
    kafka.AuthenticationFailedError,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    kafka.UnsupportedVersionError,
    kafka.IncompatibleBrokerVersion,
    kafka.MessageSizeTooLargeError,
    kafka.RecordListTooLargeError,
    kafka.RecordTooLargeError,
    kafka.InvalidTopicError,
    kafka.InvalidTransactionTimeout,
    kafka.InvalidSessionTimeoutError,
    kafka.InconsistentGroupProtocolError,
)
# What aiokafka and Faust raise of a broker; TimeoutError is asyncio's, ConnectionError the operating system's.
KAFKA_FAULTS = (kafka.KafkaError, kafka.IllegalOperation, TimeoutError, ConnectionError)


def is_refusal(error: BaseException | None) -> bool:
    """Whether asking again would be answered alike."""
    return isinstance(error, _REFUSALS)


def told(error: BaseException, what: str) -> BehaviourStreamError:
    """One of KAFKA_FAULTS as ours; `what` says what failed by it."""
    kind = BrokerError if is_refusal(error) else PassingError
    return kind(f"{what} ({error!r})")
