"""The published YAML, read as it is written."""

import pytest
import yaml

from gaze_core.errors import BadInput
from gaze_core.plans.one_shot import OneShotPlan, from_published_yaml, is_published_yaml, one_shot_plan
from gaze_core.plans.requests.one_shot import OneShotRequest

PUBLISHED = """
oneshot_params:
  # Enable GazeCapture dataset usage
  use_gazecapture: true

  # GazeCapture specific parameters
  gazecapture_params:
    hdf_path: "/path/to/GazeCapture.h5"
    person_id: null  # null for random selection
    num_samples: 25  # number of samples per person
    random_person: true  # enable random person selection

  # Training parameters
  num_steps: 400
  learning_rate: 5e-5
  batch_size: 2

  finetune_strategy: "minimal"  # selective, encoder_only, cross_attention_only, minimal
  finetune_gaze_mlp: true
  gaze_mlp_layers: ["all"]

  save_dir: "./outputs/gazecapture_oneshot"
  checkpoint_path: "./checkpoints/pretrained_model.pth"

loss_params:
  l1_loss: 1.5
  mask_l1_loss: 2.5  # Enhanced eye region reconstruction
  vgg_loss: 0.2
"""


def changed(old, new):
    assert old in PUBLISHED
    return yaml.safe_load(PUBLISHED.replace(old, new))


def read(values):
    return from_published_yaml(values, OneShotPlan(), "x.yaml")


def test_every_key_is_read():
    plan = read(yaml.safe_load(PUBLISHED))
    adapt = plan.adapt
    assert (adapt.num_steps, adapt.learning_rate, adapt.batch_size, adapt.strategy) == (400, 5e-5, 2, "minimal")
    assert (adapt.finetune_gaze_mlp, adapt.gaze_mlp_layers, adapt.mode) == (True, "all", "person")
    assert (adapt.weights.l1, adapt.weights.mask_l1, adapt.weights.vgg) == (1.5, 2.5, 0.2)
    assert adapt.split.num_samples == 25 == plan.evaluate.split.num_samples
    assert plan.person is None
    assert str(plan.files.data) == "/path/to/GazeCapture.h5"
    assert str(plan.files.checkpoint) == "checkpoints/pretrained_model.pth"
    assert str(plan.files.save_dir) == "outputs/gazecapture_oneshot"


def test_the_published_defaults_are_ours():
    adapt = one_shot_plan().adapt
    assert (adapt.num_steps, adapt.learning_rate, adapt.batch_size, adapt.split.num_samples) == (500, 5e-5, 1, 30)
    assert (adapt.weights.l1, adapt.weights.mask_l1, adapt.weights.vgg, adapt.strategy) == (1.0, 2.0, 0.1, "selective")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_steps:", "num_stpes:", "unknown key 'num_stpes'; did you mean num_steps?"),
        ("hdf_path:", "hdf5_path:", "gazecapture_params: unknown key 'hdf5_path'; did you mean hdf_path?"),
        ("mask_l1_loss:", "mask_loss:", "loss_params: unknown key 'mask_loss'; did you mean mask_l1_loss?"),
        ("loss_params:", "loss_param:", "unknown key 'loss_param'; did you mean loss_params?"),
        ("learning_rate: 5e-5", "learning_rate: fast", "learning_rate: expected a number, found 'fast'"),
        ('"minimal"', '"minimum"', "unknown adapt.strategy 'minimum'; .*did you mean minimal?"),
        ('["all"]', '["first"]', 'gaze_mlp_layers: expected \\["last"\\] or \\["all"\\]'),
        ("random_person: true", "random_person: false", "person_id is null and random_person is false"),
        ("num_samples: 25", "num_samples: 0", "adapt.split.num_samples"),
    ],
)
def test_mistakes_are_named(old, new, message):
    with pytest.raises(BadInput, match=message.replace("?", r"\?")):
        read(changed(old, new))


def test_a_person_and_a_single_image():
    assert read(changed("person_id: null", 'person_id: "00028"')).person == "00028"
    assert read(changed("use_gazecapture: true", "use_gazecapture: false")).adapt.mode == "single_image"


def test_options_win_over_the_file_and_set_over_both(tmp_path):
    file = tmp_path / "finetune_gazecapture.yaml"
    file.write_text(PUBLISHED)
    assert is_published_yaml(yaml.safe_load(PUBLISHED))
    request = OneShotRequest(config=file, samples=7, person="00002", changes=("adapt.num_steps=9",))
    plan = request.plan()
    assert (plan.adapt.split.num_samples, plan.person, plan.adapt.num_steps) == (7, "00002", 9)
    assert plan.adapt.strategy == "minimal"
    with pytest.raises(BadInput, match=r"/path/to/GazeCapture.h5: no such file or folder"):
        request.require_inputs()


def test_adapting_needs_data_and_a_checkpoint(tmp_path):
    with pytest.raises(BadInput, match="no data; give --data"):
        OneShotRequest().require_inputs()
    (tmp_path / "data.h5").write_bytes(b"x")
    with pytest.raises(BadInput, match="adapting never starts from random weights"):
        OneShotRequest(data=tmp_path / "data.h5").require_inputs()
