"""Sends the waiting operations to MLflow: in order, once, and each outbox by itself."""

import logging

from tasks import environment
from tasks.redaction import redacted
from tasks.tracking import outbox
from tasks.tracking.client import Outage, Refusal
from tasks.tracking.writer import RunWriter

logger = logging.getLogger("gazeworks.tracking")


def send(box: outbox.Outbox) -> RunWriter | None:
    """Sends all operations of an outbox that the caller holds, and removes it; None if nothing can be sent.

    An operation that MLflow will never take is set aside and does not block others.

    Raises:
        Outage: MLflow is still away; operations that were sent before wait no longer.
        Refusal: MLflow does not take the run.
    """
    operations = box.read()
    if not operations or operations[0]["kind"] != "open":
        box.set_aside()
        return None
    opening, *rest = operations
    refused: list[outbox.Operation] = []
    done = 0
    try:
        writer = RunWriter.open(opening)
        for operation in rest:
            try:
                writer.apply(box.located(operation))
            except Refusal as refusal:
                logger.warning("MLflow does not take %s of run %s: %s", operation["kind"], writer.run_id, refusal)
                refused.append(operation)
            done += 1
    except Outage:
        box.keep_only([opening, *refused, *rest[done:]])
        raise
    if refused:
        box.keep_only([opening, *refused])
        box.set_aside()
    else:
        box.remove()
    return writer


def send_all() -> int:
    """Sends the outboxes of ended runs; returns how many still wait. One that fails does not block others."""
    boxes = [box for box in outbox.waiting() if box.hold()]
    num_waiting = 0
    try:
        for index, box in enumerate(boxes):
            try:
                num_waiting += not _sent(box)
            except Outage:
                return num_waiting + len(boxes) - index
        return num_waiting
    finally:
        for box in boxes:
            box.release()


def _sent(box: outbox.Outbox) -> bool:
    here = redacted(environment.tracking_uri())
    there = next((operation.get("tracking_uri", here) for operation in box.read()), here)
    if there != here:
        logger.warning("%s waits for the MLflow at %s, not for the one at %s", box.folder, there, here)
        return False
    try:
        send(box)
    except (Refusal, OSError) as error:
        logger.warning("%s cannot be sent: %s", box.folder, error)
        return False
    return True
