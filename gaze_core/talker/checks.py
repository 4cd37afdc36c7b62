"""Sanity checks of a talking head: does the sound move the mouth, does the asked gaze move the eyes, do lids close when asked?

A falling loss, or a high PSNR of the whole frame, proves none of these: the torso of the same frame is drawn behind the head.
"""

from gaze_core.reports.text import number
from gaze_core.talker.evaluation_mouth import RECORDED
from gaze_core.talker.report import DECIDING, METRICS, MODEL, NEAREST, Mark, StoredCheck, TalkerEvaluation, block_gain

_LEAST_DROP_DB, _WANTED_DROP_DB, _LEAST_GAIN_DB = 0.5, 2.0, 0.5
_LEAST_SLOPE, _LEAST_SYNC, _LEAST_F1 = 0.25, 0.3, 0.5
_LEAST_LIDS = 0.5  # correlation of lids asked and read
_MIN_FRAMES = 20
_MOST_LEAK = 0.1


def talker_checks(found: TalkerEvaluation) -> tuple[StoredCheck, ...]:
    """All of them, in order of weight."""
    rows = [_audio(found), _mouth(found), *_gaze(found), _blinks(found), _silence(found), _leak(found), _still(found)]
    return tuple(row for row in rows if row is not None)


def _audio(found: TalkerEvaluation) -> StoredCheck:
    question = "Do the lips get worse while other sound is heard?"
    drop = found.audio_drop_db
    if drop is None or len(found.frames) < _MIN_FRAMES:
        return StoredCheck(mark="cannot tell", question=question, answer=f"{len(found.frames)} frames are too few.")
    answer = f"By {number(drop.value)} dB ({number(drop.low)} to {number(drop.high)})"
    if drop.value < _LEAST_DROP_DB or drop.low <= 0:
        return StoredCheck(mark="fault", question=question, answer=f"{answer}: the sound is not used.")
    note = "" if drop.value >= _WANTED_DROP_DB else f"A head that follows its sound well loses {_WANTED_DROP_DB:g} dB."
    return StoredCheck(mark="ok", question=question, answer=f"{answer}.", note=note)


def _mouth(found: TalkerEvaluation) -> StoredCheck:
    question = "Does the mouth open as it did in the recording?"
    own, recorded = found.sync.get(MODEL), found.sync.get(RECORDED)
    value = own.with_recorded if own else None
    floor = recorded.with_recorded if recorded else None
    note = f"The reader on the recording itself: {number(floor)}."
    if value is None or floor is None or floor < 0.5:
        return StoredCheck(
            mark="cannot tell", question=question, answer="The reader cannot read this mouth.", note=note
        )
    mark = "ok" if value >= _LEAST_SYNC else "fault"
    share = (
        own.talking_rms / recorded.talking_rms
        if own and recorded and own.talking_rms and recorded.talking_rms
        else None
    )
    answer = f"Correlation {number(value)}" + ("." if share is None else f"; it moves {share:.0%} as far.")
    return StoredCheck(mark=mark, question=question, answer=answer, note=note)  # type: ignore[arg-type]


def _gaze(found: TalkerEvaluation) -> list[StoredCheck]:
    """Against rendered truth where there is some, else the slope of the sweep by its best reader."""
    rows = []
    for axis in ("yaw", "pitch"):
        question = f"Do the eyes follow an asked {axis}?"
        known = next((row for row in found.counterfactual if row.kind == axis), None)
        if known is not None:
            mark = "ok" if (known.gain.low or 0) > 0 and known.gain_db >= _LEAST_GAIN_DB else "fault"
            answer = f"Against rendered truth they come {number(known.gain_db)} dB nearer than unasked."
            rows.append(StoredCheck(mark=mark, question=question, answer=answer))  # type: ignore[arg-type]
            continue
        lines = [line for line in found.sweep if line.axis == axis and line.slope is not None]
        if not lines:
            reason = next((line.reason for line in found.sweep if line.axis == axis), "no frame could be read")
            rows.append(StoredCheck(mark="cannot tell", question=question, answer=f"{reason}."))
            continue
        best = max(lines, key=lambda line: (line.r2 or 0.0, line.slope or 0.0))
        mark = "ok" if (best.slope or 0.0) >= _LEAST_SLOPE else "fault"
        answer = f"By {number(best.slope)} of it, read by: {best.reader}."
        rows.append(StoredCheck(mark=mark, question=question, answer=answer))  # type: ignore[arg-type]
    return rows


def _blinks(found: TalkerEvaluation) -> StoredCheck:
    question = "Do the lids close when they are asked to?"
    asked = [row for row in found.blinks if row.asked]
    reader = next((row.reader_f1 for row in found.blinks if row.reader_f1 is not None), None)
    note = f"The reader on the recorded blinks: F1 {number(reader)}."
    if not asked:
        return StoredCheck(mark="cannot tell", question=question, answer="No blink was asked for.")
    total, both = sum(row.asked + row.found for row in asked), sum(row.both for row in asked)
    score = 2 * both / total
    answer = f"F1 {number(score)} of {sum(row.asked for row in asked)} blinks."
    if score < _LEAST_F1 and (reader is None or reader < _LEAST_F1):
        return StoredCheck(
            mark="cannot tell", question=question, answer=f"{answer} The reader may be at fault.", note=note
        )
    follows = max((row.correlation for row in asked if row.correlation is not None), default=0.0) >= _LEAST_LIDS
    answer += "" if follows else " The lids do not close with them."
    mark: Mark = "ok" if score >= _LEAST_F1 and follows else "fault"
    return StoredCheck(mark=mark, question=question, answer=answer, note=note)


def _silence(found: TalkerEvaluation) -> StoredCheck | None:
    question = "Does the mouth rest in silence?"
    own, recorded = found.sync.get(MODEL), found.sync.get(RECORDED)
    if own is None or own.silence_rms is None or not own.talking_rms:
        count = own.silent_frames if own else 0
        return StoredCheck(mark="cannot tell", question=question, answer=f"{count} frames are silent.")
    share = own.silence_rms / own.talking_rms
    note = ""
    if recorded and recorded.silence_rms is not None and recorded.talking_rms:
        note = f"In the recording: {recorded.silence_rms / recorded.talking_rms:.0%}."
    mark = "ok" if share < 1 else "fault"
    answer = f"It moves {share:.0%} as much as while there is sound."
    return StoredCheck(mark=mark, question=question, answer=answer, note=note)  # type: ignore[arg-type]


def _leak(found: TalkerEvaluation) -> StoredCheck | None:
    if found.leak is None:
        return None
    mark = "ok" if found.leak <= _MOST_LEAK else "fault"
    answer = f"Outside the eyes the picture changes {found.leak:.1%} as much as inside."
    return StoredCheck(mark=mark, question="Do only the eyes change when the gaze does?", answer=answer)  # type: ignore[arg-type]


def _still(found: TalkerEvaluation) -> StoredCheck | None:
    question = "Is the model nearer to the recording than the nearest training frame is?"
    gains = {
        metric: block_gain(found.values(MODEL, metric) - found.values(NEAREST, metric), found.bootstrap)
        for metric in DECIDING
    }
    known = {metric: gain for metric, gain in gains.items() if gain is not None}
    if not known:
        return None
    worse = [METRICS[metric][0].removeprefix("PSNR, ") for metric, gain in known.items() if gain.high < 0]
    texts = ", ".join(f"{METRICS[m][0].removeprefix('PSNR, ')} {gain.value:+.1f} dB" for m, gain in known.items())
    if worse:
        return StoredCheck(mark="fault", question=question, answer=f"Not in {', '.join(worse)} ({texts}).")
    return StoredCheck(mark="ok", question=question, answer=f"{texts}.")
