"""The head prior that ships: a checkpoint in half precision, of people that nothing else uses."""

import pytest
import torch

from gaze_core.config import Runtime
from gaze_core.data.seen import Seen
from gaze_core.errors import BadInput, MissingArtifact
from gaze_core.plans.redirection import HEAD_PRIOR_PX
from gaze_core.stages.context import StageContext
from gaze_core.stages.redirection import gaze_gaussian, head_prior
from gaze_core.stages.redirection.head_prior import HeadPriorConfig
from gaze_core.synthesis.packs import PACKS
from gaze_core.synthesis.prior_people import SEEDS
from gaze_core.training.checkpoint import WEIGHTS_FILE, load_weights

MAX_BYTES = 12_000_000


def test_the_shipped_file_is_small_and_of_the_people_that_its_command_renders():
    path, card = head_prior.shipped_file(), head_prior.card()
    assert path.stat().st_size <= MAX_BYTES
    assert {tensor.dtype for tensor in load_weights(path).values() if tensor.is_floating_point()} == {torch.float16}
    assert card["image_px"] == HEAD_PRIOR_PX
    seen = Seen.of_card(card)
    people = {*seen.people, *seen.frames}
    assert len(people) >= 150
    assert people <= {f"synthetic/around_{seed}" for seed in SEEDS["training"]}
    assert not any(config.identity_seed in SEEDS["training"] for config in PACKS.values())


def test_the_stage_writes_a_checkpoint_in_full_precision(tmp_path):
    produced = head_prior.run(HeadPriorConfig.shipped(), {}, StageContext(Runtime(device="cpu"), tmp_path))
    model, card = gaze_gaussian.load(tmp_path)
    assert card == head_prior.card()
    halves = load_weights(head_prior.shipped_file())
    for name, value in model.state_dict().items():
        assert torch.equal(value, halves[name].to(value.dtype)), name
    assert model.face.means_m.dtype == torch.float32
    assert len(produced.subjects["train"]) >= 150


def test_a_trained_checkpoint_becomes_the_shipped_one(tmp_path):
    head_prior.run(HeadPriorConfig.shipped(), {}, StageContext(Runtime(device="cpu"), tmp_path))
    head_prior.main([str(tmp_path), "--out", str(tmp_path / "again.safetensors")])
    ours, again = load_weights(head_prior.shipped_file()), load_weights(tmp_path / "again.safetensors")
    assert ours.keys() == again.keys()
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    assert WEIGHTS_FILE in {path.name for path in tmp_path.iterdir()}


def test_another_installations_prior_is_refused_and_a_missing_one_is_named(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="expected 000000000000; run again"):
        head_prior.run(HeadPriorConfig(sha256="0" * 64), {}, StageContext(Runtime(device="cpu"), tmp_path))
    monkeypatch.setattr(head_prior, "files", lambda _: tmp_path)
    with pytest.raises(MissingArtifact, match="install the package anew, or --start scratch"):
        head_prior.shipped_file()
