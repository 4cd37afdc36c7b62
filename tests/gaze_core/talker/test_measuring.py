"""A whole evaluation on a drawn talking head: a model that follows, and models that ignore one thing each."""

import numpy as np
import pytest

from gaze_core.errors import BadInput, ContractViolation
from gaze_core.talker.evaluation import TalkerEvaluateConfig, Tools
from gaze_core.talker.measuring import measure
from gaze_core.talker.report import MODEL, NEAREST, OTHER_AUDIO, TalkerTolerance, compare
from tests.gaze_core.talker.drawn_talker import stand_in, talker

CONFIG = TalkerEvaluateConfig(sweep_frames=4)


def measured(subject=None, truth=True, **ignores):
    one, sound, known = subject or talker()
    return measure("drawn", one, sound, known if truth else None, stand_in(**ignores), CONFIG, Tools(), "a test")


@pytest.fixture(scope="module")
def follows():
    return measured()


def check(found, part):
    return next(one for one in found.checks if part in one.question)


def test_a_model_that_follows_passes_every_check(follows):
    found, pictures, series = follows
    assert found.faults == ()
    assert found.mean(MODEL, "head_psnr_db") > 32
    assert found.audio_drop_db.value > 2
    assert {row.kind for row in found.counterfactual} >= {"yaw", "pitch"}
    assert all(row.gain_db > 3 for row in found.counterfactual)
    assert found.numbers["mouth_with_recorded"] > 0.9
    assert found.sync[MODEL].lag_ms == pytest.approx(0, abs=40)
    assert found.blinks[0].f1 >= 0.8
    slopes = {(line.reader, line.axis): line.slope for line in found.sweep}
    assert min(slopes.values()) > 0.6
    assert found.leak < 0.1
    assert abs(found.lips_without_gaze_db) < 0.2
    assert found.mean(NEAREST, "lips_psnr_db") < found.mean(MODEL, "lips_psnr_db")
    assert {name.partition("/")[0] for name in pictures.strips} == {
        "examples",
        "counterfactual",
        "sweep_yaw",
        "sweep_pitch",
    }
    assert len(series.time_s) == len(found.frames) == 50
    assert np.isfinite(series.row("opening model")).all()


@pytest.mark.parametrize(
    ("ignored", "question", "answer"),
    [
        ("uses_audio", "Do the lips get worse while other sound is heard?", "the sound is not used"),
        ("turns_eyes", "Do the eyes follow an asked yaw?", "dB nearer than unasked"),
        ("closes_lids", "Do the lids close when they are asked to?", "The lids do not close with them."),
    ],
)
def test_what_a_model_ignores_is_a_failed_check(ignored, question, answer):
    found = measured(**{ignored: False})[0]
    failed = check(found, question)
    assert (failed.mark, answer in failed.answer) == ("fault", True), failed
    assert any(question in fault for fault in found.faults)


def test_without_truth_the_sweep_tells_whether_eyes_follow():
    found = measured(truth=False)[0]
    assert found.counterfactual == ()
    assert "By " in check(found, "asked yaw").answer
    assert check(found, "asked yaw").mark == "ok"
    still = measured(truth=False, turns_eyes=False)[0]
    assert check(still, "asked yaw").mark == "fault"


def test_a_frame_without_a_face_is_not_measured_and_shifts_nothing():
    one, sound, truth = talker()
    one.valid[130] = False
    one.landmarks_px[130], one.viewmat[130] = np.nan, np.nan
    found = measured((one, sound, truth))[0]
    place = found.frames.index(130)
    row = found.measured[MODEL]["head_psnr_db"]
    assert row[place] is None
    assert None not in row[:place] + row[place + 1 :]
    assert found.mean(MODEL, "head_psnr_db") > 32


def test_too_few_frames_are_refused():
    one, sound, truth = talker()
    one.valid[:105] = False
    with pytest.raises(BadInput, match="5 training frames with a face; expected at least 3 and 12"):
        measured((one, sound, truth))


def test_the_verdict_is_paired_and_a_failed_check_is_never_better(follows):
    found = follows[0]
    own = compare(found, None, TalkerTolerance())
    assert own.verdict == "better"
    assert own.against == NEAREST
    blurred = measured(noise=12.0)[0]
    assert compare(blurred, found, TalkerTolerance()).verdict == "regressed"
    assert compare(found, found, TalkerTolerance()).verdict == "equal"
    assert compare(found, blurred, TalkerTolerance()).against == "baseline"
    deaf = measured(uses_audio=False)[0]
    assert compare(deaf, None, TalkerTolerance()).verdict != "better"
    other = found.model_copy(update={"frames_digest": "0"})
    with pytest.raises(ContractViolation, match="evaluate both on one subject"):
        compare(found, other, TalkerTolerance())
    assert OTHER_AUDIO in found.measured
