"""Our error family. Each message says what was expected, what was found, where, and what to do next."""

from collections.abc import Mapping


class GazeworksError(Exception):
    """Base of all errors that a user or an operator is meant to read; a command line shows it in one line."""

    exit_code = 1


class BadInput(GazeworksError, ValueError):
    """The user's input (a path, a file, a key, a value) is not what it must be."""

    exit_code = 2


class MissingArtifact(GazeworksError):
    """An artifact is named by a reference but is gone or no longer has its recorded content."""


class DivergedError(GazeworksError):
    """A loss term or gradient stopped being finite; raised before the update, so the weights are still good."""


class ContractViolation(GazeworksError):
    """Two stages disagree about what was handed over, for example a checkpoint from another schema."""


class NoSpace(GazeworksError, OSError):
    """A disk is full. What had been written before is whole, and a run goes on from it when there is space again."""


def reasons_text(counts: Mapping[str, int]) -> str:
    """How many were left out for each reason, for a message: `blurred: 2, no_face: 5`."""
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(counts.items()) if count) or "there are none"
