"""Which person of a file, and which of the person's samples adapt, validate and test."""

import logging
from collections.abc import Mapping
from typing import Self

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.reproducibility import derived_seed

_MIN_SAMPLES = 3  # one to adapt, one to validate, one to test


class SplitConfig(Config):
    """How a person's samples are divided. Test and validation samples do not depend on `num_samples`."""

    num_samples: PositiveInt = 30  # that adapt
    test_share: float = Field(0.3, gt=0, lt=1)
    validation_share: float = Field(0.1, gt=0, lt=1)
    most_test: PositiveInt = 40
    most_validation: PositiveInt = 8
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _some_left(self) -> Self:
        if self.test_share + self.validation_share >= 1:
            raise ValueError("test_share and validation_share leave nothing to adapt with")
        return self


class PersonSplit(Config):
    """Positions among a person's usable samples; no position is in two parts."""

    adapt: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def choose_person(
    counts: Mapping[str, int], wanted: int, seed: int, split: SplitConfig | None = None
) -> tuple[str, str]:
    """A seeded draw among those with enough samples; if nobody has, the one with the most.

    Returns:
        The person, and a sentence for the log.

    Raises:
        BadInput: nobody has the three samples that are needed at least.
    """
    rule = split or SplitConfig()
    enough = [name for name, count in counts.items() if _for_adapting(count, rule) >= wanted]
    if enough:
        stream = np.random.default_rng(derived_seed("one-shot person", seed))
        name = enough[int(stream.integers(len(enough)))]
        return name, f"person {name} was drawn among {len(enough)} with enough samples (seed {seed})"
    name = max(counts, key=lambda one: counts[one])
    if counts[name] < _MIN_SAMPLES:
        raise BadInput(f"nobody among {len(counts)} people has {_MIN_SAMPLES} samples; give a file with more")
    return name, f"nobody has enough samples for {wanted}; person {name} has the most, {counts[name]}"


def split_person(count: int, config: SplitConfig, person: str, logger: logging.Logger | None = None) -> PersonSplit:
    """Divides a person's samples; logs how many there are and which were taken.

    Raises:
        BadInput: fewer than three samples.
    """
    if count < _MIN_SAMPLES:
        raise BadInput(
            f"person {person}: {count} usable sample{'s' * (count != 1)}, expected {_MIN_SAMPLES} or more: one to "
            "adapt, one to validate, one to test; choose another person"
        )
    order = np.random.default_rng(derived_seed("one-shot split", config.seed, count)).permutation(count).tolist()
    num_test, num_validation = _held_out(count, config)
    held, rest = order[: num_test + num_validation], order[num_test + num_validation :]
    taken = rest[: config.num_samples]
    if logger:
        logger.info("person %s: %d usable samples", person, count)
        if len(taken) < config.num_samples:
            logger.warning(
                "person %s: %d samples were asked for, %d are left beside those of validation and test; all are taken",
                person, config.num_samples, len(taken),
            )  # fmt: skip
        logger.info("person %s: adapts with %d of %d: %s", person, len(taken), len(rest), sorted(taken))
    return PersonSplit(
        adapt=tuple(sorted(taken)), validation=tuple(sorted(held[num_test:])), test=tuple(sorted(held[:num_test]))
    )


def _held_out(count: int, config: SplitConfig) -> tuple[int, int]:
    test = min(config.most_test, max(1, int(config.test_share * count)))
    return test, min(config.most_validation, max(1, int(config.validation_share * count)))


def _for_adapting(count: int, config: SplitConfig) -> int:
    return count - sum(_held_out(count, config)) if count >= _MIN_SAMPLES else 0
