"""Adapting: a strategy changes only what it says, and a killed run ends with the same bytes."""

import json

import pytest
import torch
from safetensors.torch import load_file

from gaze_core.errors import BadInput, ContractViolation
from gaze_core.models.one_shot.redirector import GazeRedirector, RedirectorConfig, trained_parameters
from gaze_core.one_shot.samples import read_samples
from gaze_core.stages.context import StageContext
from gaze_core.stages.one_shot import adapt, compare, evaluate
from gaze_core.stages.one_shot.compare import read_one_shot_comparison
from gaze_core.stages.one_shot.evaluate import read_one_shot_evaluation
from gaze_core.training.checkpoint import WEIGHTS_FILE
from tests.gaze_core.stages.one_shot.tiny_run import ADAPT, RUNTIME, place  # noqa: F401 (fixture)

STRATEGIES = {
    "selective": ("attn2", "conv_norm_out", "conv_out", "unet.up_blocks.1."),
    "encoder_only": ("unet.conv_in", "unet.down_blocks."),
    "cross_attention_only": ("attn2",),
    "minimal": ("unet.conv_norm_out", "unet.conv_out"),
}


def adapted(place, folder, **changes):  # noqa: F811
    folder.mkdir(parents=True, exist_ok=True)
    config = ADAPT.model_copy(update=changes)
    produced = adapt.run(
        config, {"data": place / "one" / "data", "checkpoint": place / "base"}, StageContext(RUNTIME, folder)
    )
    return load_file(folder / WEIGHTS_FILE), produced


@pytest.mark.parametrize("strategy", [*STRATEGIES, "full"])
def test_a_strategy_changes_only_what_it_says(place, tmp_path, strategy, caplog):  # noqa: F811
    caplog.set_level("INFO")
    before = load_file(place / "base" / WEIGHTS_FILE)
    after, produced = adapted(place, tmp_path, strategy=strategy)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    if strategy == "full":
        assert any(name.startswith("gaze_mlp") for name in changed)
        assert len(changed) > 0.9 * len(before)
    else:
        wanted = {name for name in before if any(part in name for part in STRATEGIES[strategy])}
        assert changed <= wanted
        assert len(changed) > 0.6 * len(wanted)
        assert sum(before[name].numel() for name in wanted) == produced.metrics["trained_parameters"]
    assert f"strategy {strategy} trains {produced.metrics['trained_parameters']:.0f} of" in caplog.text


@pytest.mark.parametrize("layers", ["last", "all"])
def test_the_gaze_mlp_is_trained_if_asked_for(place, tmp_path, layers):  # noqa: F811
    before = load_file(place / "base" / WEIGHTS_FILE)
    after, _ = adapted(place, tmp_path, strategy="minimal", finetune_gaze_mlp=True, gaze_mlp_layers=layers)
    changed = {n for n in before if n.startswith("gaze_mlp") and not torch.equal(before[n], after[n])}
    every = {n for n in before if n.startswith("gaze_mlp")}
    assert changed == (every if layers == "all" else {"gaze_mlp.6.weight", "gaze_mlp.6.bias"})


def test_counts_of_the_published_size_differ():
    model = GazeRedirector(RedirectorConfig(), 24)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    counts = {s: sum(sizes[n] for n in trained_parameters(model, s, False, "last")) for s in (*STRATEGIES, "full")}
    assert (
        counts["minimal"] < counts["cross_attention_only"] < counts["selective"] < counts["full"] == sum(sizes.values())
    )


class Stopped(Exception):
    pass


def test_a_killed_run_ends_with_the_same_bytes(place, tmp_path):  # noqa: F811
    inputs = {"data": place / "one" / "data", "checkpoint": place / "base"}
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    adapt.run(ADAPT, inputs, StageContext(RUNTIME, tmp_path / "whole"))

    def stop(step, *_):
        if step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        adapt.run(ADAPT, inputs, StageContext(RUNTIME, tmp_path / "killed", progress=stop))
    produced = adapt.run(ADAPT, inputs, StageContext(RUNTIME, tmp_path / "killed"))
    assert produced.metrics["resumed_from_step"] == 2
    assert (tmp_path / "killed" / WEIGHTS_FILE).read_bytes() == (tmp_path / "whole" / WEIGHTS_FILE).read_bytes()


def test_adapting_without_a_checkpoint_is_refused(place, tmp_path):  # noqa: F811
    context = StageContext(RUNTIME, tmp_path)
    with pytest.raises(BadInput, match="adapting needs a pretrained checkpoint"):
        adapt.run(ADAPT, {"data": place / "one" / "data"}, context)
    with pytest.raises(BadInput, match="no such file; expected a checkpoint"):
        adapt.run(ADAPT, {"data": place / "one" / "data", "checkpoint": tmp_path / "none"}, context)


def test_who_was_adapted_to_is_written_down(place, tmp_path):  # noqa: F811
    _, produced = adapted(place, tmp_path)
    record = json.loads((tmp_path / "person.json").read_text())
    assert record["person"] == "00901"
    parts = [record[name] for name in ("adapted_with", "validated_with", "tested_with")]
    assert len(parts[0]) == 4
    assert len({row for part in parts for row in part}) == sum(map(len, parts))
    assert any(name.startswith("pictures/step_") for name in produced.files)


def test_a_single_image_adapts_with_itself_alone(place, tmp_path):  # noqa: F811
    _, produced = adapted(place, tmp_path, mode="single_image")
    assert produced.metrics["num_adapt"] == 1


def test_evaluation_and_comparison(place, tmp_path):  # noqa: F811
    adapted(place, tmp_path / "adapted")
    config = evaluate.OneShotEvaluateConfig(split=ADAPT.split, judge="cnn", num_shown=2)
    for name, checkpoint, number in (
        ("before", place / "base", 0), ("after", tmp_path / "adapted", 0),
        ("other_before", place / "base", 1), ("other_after", tmp_path / "adapted", 1),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        one = config.model_copy(update={"person": number})
        evaluate.run(
            one, {"data": place / "one" / "data", "checkpoint": checkpoint}, StageContext(RUNTIME, tmp_path / name)
        )
    after = read_one_shot_evaluation(tmp_path / "after")
    assert after.person == "00901"
    assert not set(after.rows) & set(after.reference_rows)
    assert after.outside_changed == 0
    assert after.mean("autoencoder", "eye_psnr_db") > after.mean("model", "eye_psnr_db")
    assert len(after.sweep) == 9
    assert after.mean("truth", "gaze_from_recorded_deg") == pytest.approx(0, abs=1e-3)
    assert after.mean("model", "gaze_from_recorded_deg") > 0.1
    (tmp_path / "compare").mkdir()
    folders = {name: tmp_path / name for name in ("before", "after", "other_before", "other_after")}
    compare.run(compare.OneShotTolerance(), folders, StageContext(RUNTIME, tmp_path / "compare"))
    comparison = read_one_shot_comparison(tmp_path / "compare")
    before = read_one_shot_evaluation(tmp_path / "before")
    gain = after.mean("model", "eye_psnr_db") - before.mean("model", "eye_psnr_db")
    assert comparison.gains["eye_psnr_db"].value == pytest.approx(gain)
    nearer = before.mean("model", "gaze_from_recorded_deg") - after.mean("model", "gaze_from_recorded_deg")
    assert comparison.gains["gaze_from_recorded_deg"].value == pytest.approx(nearer)
    assert set(comparison.other_gains) == set(comparison.gains)


def test_test_samples_that_adapted_are_refused(place, tmp_path):  # noqa: F811
    adapted(place, tmp_path / "adapted")
    other_split = ADAPT.split.model_copy(update={"seed": 5})
    config = evaluate.OneShotEvaluateConfig(split=other_split, judge="cnn")
    with pytest.raises(ContractViolation, match="adapted with .* of the test samples"):
        evaluate.run(
            config,
            {"data": place / "one" / "data", "checkpoint": tmp_path / "adapted"},
            StageContext(RUNTIME, tmp_path),
        )
    with pytest.raises(ContractViolation, match="was pretrained on this person"):
        evaluate.run(
            config, {"data": place / "many" / "data", "checkpoint": place / "base"}, StageContext(RUNTIME, tmp_path)
        )


def test_samples_are_read_as_they_were_prepared(place):  # noqa: F811
    samples = read_samples(place / "one" / "data")
    assert samples.names == ("00901", "00902")
    assert len(samples) == 20
    with pytest.raises(ContractViolation, match="no prepared samples"):
        read_samples(place)
