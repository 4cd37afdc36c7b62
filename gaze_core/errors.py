"""The package's errors. Each message states what was expected, what was found, where, and what to do next."""

from collections.abc import Mapping


class GazeworksError(Exception):
    """Base of all errors meant for users and operators; the command line prints them in one line."""

    exit_code = 1


class BadInput(GazeworksError, ValueError):
    """The user's input (a path, a file, a key, a value) is invalid."""

    exit_code = 2


class MissingArtifact(GazeworksError):
    """A referenced artifact is missing or its content has changed."""


class DivergedError(GazeworksError):
    """A loss term or gradient is not finite; raised before the update, so the weights are still valid."""


class ContractViolation(GazeworksError):
    """A stage received an input that violates its contract, for example a checkpoint of another schema."""


class NoSpace(GazeworksError, OSError):
    """A disk is full. Files written before are intact; a run resumes from them once there is space."""


def reasons_text(counts: Mapping[str, int]) -> str:
    """Counts by reason as text for messages: `blurred: 2, no_face: 5`."""
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()) if count) or "there are none"
