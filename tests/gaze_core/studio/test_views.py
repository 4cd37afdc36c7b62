"""The shipped models in the studio: they look where they are asked to, and are read as an evaluation reads them."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from flows.apps.studio.catalog import openings, shipped, stage_of
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.evaluation.judge import CnnJudge
from gaze_core.evaluation.readers import reader, why_not
from gaze_core.evaluation.renderings import gaze_in_camera, redirect
from gaze_core.one_shot.shipped import SHIPPED_REDIRECTOR
from gaze_core.stages.redirection.evaluate import render_rgb
from gaze_core.stages.redirection.head_prior import shipped_file
from gaze_core.stages.redirection.look_head import LookHeadConfig, looking
from gaze_core.studio.coverage import Coverage
from gaze_core.studio.readings import SHOWN, Readers
from gaze_core.studio.wishes import Wish


@pytest.fixture(scope="module")
def head():
    return shipped()[0].load(Runtime(device="cpu"))


@pytest.fixture(scope="module")
def one_shot():
    return shipped()[1].load(Runtime(device="cpu"))


def test_the_known_head_looks_where_it_is_asked_to(head):
    judge = CnnJudge()
    for gaze_deg in ((0, 20), (0, -20), (12, 0)):
        drawing = head.draw(Wish(gaze_deg=gaze_deg))
        assert drawing.image.shape == (128, 128, 3)
        assert drawing.drawn_deg == pytest.approx(gaze_deg, abs=0.1)
        assert np.rad2deg(judge.predict(drawing.face).gaze_camera[0]).numpy() == pytest.approx(gaze_deg, abs=8)


@pytest.mark.parametrize("name", SHOWN)
def test_a_reading_is_that_of_an_evaluation(head, name):
    if why := why_not(name):
        pytest.skip(why)
    asked = (5.0, 15.0)
    reading = Readers().read(name, head.draw(Wish(gaze_deg=asked)), asked)
    turned, _ = looking(head._rest, LookHeadConfig(gaze_deg=asked))
    batch, gaze_head = replace(head._rest, head=turned), turned.gaze_head_eyes[:, 0]
    # what `gazeworks evaluate` does with each pair, and the gaze that it compares with
    _, prediction = redirect(partial(render_rgb, head._model), batch, gaze_head, reader(name))
    error = prediction.gaze_error_deg(gaze_in_camera(batch, gaze_head))
    assert bool(prediction.valid[0])
    assert reading.gaze_deg == pytest.approx(torch.rad2deg(prediction.gaze_camera[0]).tolist(), abs=1e-3)
    assert reading.error_deg == pytest.approx(float(error[0]), abs=1e-3)


def test_sliders_and_the_head_s_turn_change_the_picture_and_nothing_is_kept(head):
    rest = head.draw(Wish()).image.astype(int)
    for wish in (Wish(blink=1), Wish(jaw=1), Wish(brows=1), Wish(head_deg=(0, 20))):
        assert np.abs(head.draw(wish).image - rest).max() > 20
    assert (head.draw(Wish()).image == rest).all()


def test_eyes_turn_no_further_than_eyes_do(head):
    pitch, yaw = head.draw(Wish(gaze_deg=(0, 45))).drawn_deg
    assert yaw < 40


def test_one_shot_moves_the_eyes_only(one_shot):
    left, right = (one_shot.draw(Wish(gaze_deg=(0, yaw))).image.astype(int) for yaw in (20, -20))
    changed = np.abs(left - right).max(axis=-1) > 8
    assert changed.sum() > 100
    assert not changed[150:].any()


def test_the_coverage_counts_in_cells_of_pitch_and_yaw():
    cover = Coverage.of(np.deg2rad([[2.0, 2.0], [3.0, 4.0], [-44.0, 44.0], [60.0, 0.0], [np.nan, 0.0]]))
    share = np.array(cover.share)
    assert cover.num_frames == 3
    assert share[9, 9] == pytest.approx(2 / 3, abs=1e-5)
    assert share[0, 17] == pytest.approx(1 / 3, abs=1e-5)
    shipped_cover = Coverage.shipped()
    assert shipped_cover is not None
    assert np.array(shipped_cover.share)[9, 9] > 0 == np.array(shipped_cover.share)[17, 17]


def test_checkpoints_are_opened_by_the_stage_in_their_card(tmp_path):
    assert stage_of(shipped_file()) == "gaze_gaussian"
    (one,) = openings(SHIPPED_REDIRECTOR)
    assert one.load(Runtime(device="cpu")).name == SHIPPED_REDIRECTOR.name
    (tmp_path / "weights.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(BadInput, match="no weights with a card"):
        openings(tmp_path)
    with pytest.raises(BadInput, match="expected the folder of a checkpoint"):
        openings(tmp_path / "none")
