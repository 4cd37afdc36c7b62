"""The one loop: exact resume, early stopping, clipping and refusal to go on from a non-finite loss."""

import logging
import math
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from gaze_core.config import Runtime
from gaze_core.errors import BadInput, DivergedError
from gaze_core.training.checkpoint import load_resume_state
from gaze_core.training.loop import FitConfig, Task, fit, rate_factor
from gaze_core.training.processes import own_share
from gaze_core.training.sampling import step_indices

RUNTIME = Runtime(device="cpu", checkpoint_every_steps=3, log_every_steps=1)


@dataclass
class Items:
    """The least that the loop asks of a batch."""

    values: torch.Tensor

    def to(self, device):
        return Items(self.values.to(device))


class Interrupt(Exception):
    pass


def make_task(poison_at=-1, stop_at=-1, validate=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    data = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))

    def loss_terms(model, batch, step):
        if step == stop_at:
            raise Interrupt
        factor = math.nan if step == poison_at else 1.0
        return {
            "square": model(batch.values).square().mean() * factor,
            "weights": 0.01 * next(model.parameters()).abs().sum(),
        }

    groups = [{"params": list(model.parameters()), "lr": 0.05}]
    return Task(model, groups, len(data), lambda order: (Items(data[items]) for items in order), loss_terms, validate)


def weights(task):
    return {name: value.clone() for name, value in task.model.state_dict().items()}


class Table(nn.Module):
    """Many reads of few rows: the gradient sums them, and torch's fastest kernel does so in no fixed order."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Parameter(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)))

    def forward(self, picks):
        return self.rows[picks]


def test_two_runs_on_several_threads_end_bit_identical(tmp_path):
    picks = torch.randint(0, 50, (200_000,), generator=torch.Generator().manual_seed(2))
    targets = torch.randn(len(picks), 8, generator=torch.Generator().manual_seed(3))

    def run(name):
        model = Table()
        groups = [{"params": list(model.parameters()), "lr": 0.05}]
        task = Task(
            model,
            groups,
            4,
            lambda order: (Items(picks) for _ in order),
            lambda m, b, _: {"l2": (m(b.values) - targets).square().mean()},
        )
        fit(task, FitConfig(num_steps=6, batch_size=2), RUNTIME, tmp_path / name)
        return weights(task)["rows"]

    first = run("0")
    assert all(torch.equal(first, run(str(n))) for n in range(1, 4))
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("stop_at", [1, 3, 4, 10])
def test_an_interrupted_run_ends_bit_identical(tmp_path, stop_at):
    config = FitConfig(num_steps=11, batch_size=3, learning_rate=0.05, final_learning_rate_ratio=0.1, warmup_steps=2)
    whole = make_task()
    fit(whole, config, RUNTIME, tmp_path / "whole")
    with pytest.raises(Interrupt):
        fit(make_task(stop_at=stop_at), config, RUNTIME, tmp_path / "parts")
    resumed = make_task()
    summary = fit(resumed, config, RUNTIME, tmp_path / "parts")
    assert summary.resumed_from_step == stop_at // 3 * 3
    for name, value in weights(whole).items():
        assert torch.equal(weights(resumed)[name], value), name
    assert [row["step"] for row in summary.history] == list(range(1, 12))


def test_a_finished_run_is_not_trained_again(tmp_path):
    config = FitConfig(num_steps=4, learning_rate=0.05)
    fit(make_task(), config, RUNTIME, tmp_path)
    task = make_task(stop_at=0)
    assert fit(task, config, RUNTIME, tmp_path).resumed_from_step == 4


def test_a_non_finite_term_stops_before_the_update_and_is_named(tmp_path):
    config = FitConfig(num_steps=9, learning_rate=0.05)
    good, bad = make_task(), make_task(poison_at=5)
    fit(good, FitConfig(num_steps=5, learning_rate=0.05), RUNTIME, tmp_path / "good")
    with pytest.raises(DivergedError, match="step 5: not finite: square"):
        fit(bad, config, RUNTIME, tmp_path / "bad")
    for name, value in weights(good).items():
        assert torch.equal(weights(bad)[name], value), name


def test_clipping_acts_after_backward_and_bounds_the_gradient(tmp_path):
    task = make_task()
    config = FitConfig(num_steps=1, learning_rate=0.05, max_grad_norm=1e-3)
    fit(task, config, RUNTIME, tmp_path)
    norm = torch.stack([p.grad.norm() for p in task.model.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_early_stopping_returns_the_best_weights(tmp_path):
    seen = []

    def validate(model):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return [3.0, 1.0, 2.0, 2.0, 2.0][len(seen) - 1]

    task = make_task(validate=validate)
    config = FitConfig(num_steps=50, learning_rate=0.05, validate_every_steps=2, patience=2)
    summary = fit(task, config, RUNTIME, tmp_path)
    assert summary.stopped_early
    assert summary.num_steps == 8
    assert summary.best_validation == 1.0
    for name, value in seen[1].items():
        assert torch.equal(weights(task)[name], value)


def test_learning_rate_by_hand():
    config = FitConfig(num_steps=10, warmup_steps=2, final_learning_rate_ratio=0.2)
    assert rate_factor(0, 10, config) == 0.5
    assert rate_factor(2, 10, config) == 1.0
    assert rate_factor(6, 10, config) == pytest.approx(0.6)  # half way down from 1 to 0.2
    assert rate_factor(10, 10, config) == pytest.approx(0.2)


def test_every_epoch_sees_every_sample_once():
    steps = [step_indices(10, 4, step, seed=7) for step in range(5)]
    flat = [index for step in steps for index in step]
    assert sorted(flat[:10]) == list(range(10))
    assert sorted(flat[10:]) == list(range(10))
    assert flat[:10] != flat[10:]


def test_ranks_share_one_epoch_without_overlap():
    both = [step_indices(12, 6, step, seed=1)[own_share(6, rank, 2)] for step in range(2) for rank in range(2)]
    assert sorted(index for part in both for index in part) == list(range(12))


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(BadInput, match="batch_size 5 cannot be shared by 2 processes; .* for example 6"):
        own_share(5, 0, 2)


def test_length_in_epochs_by_hand():
    config = FitConfig(num_epochs=3, batch_size=4)
    assert config.steps(10) == 8  # 30 samples in batches of 4
    assert [config.epochs_done(step, 10) for step in (2, 3, 5, 8)] == [0, 1, 2, 3]
    for wrong in ({}, {"num_steps": 1, "num_epochs": 1}):
        with pytest.raises(ValidationError, match="either num_steps or num_epochs"):
            FitConfig(**wrong)


def test_an_epoch_is_told_validated_and_kept_even_across_an_interruption(tmp_path, caplog):
    config = FitConfig(num_epochs=4, batch_size=5, validate_every_epoch=True, keep_every_epochs=2)  # 2 steps an epoch

    def run(folder, stop_at=-1):
        task = make_task(stop_at=stop_at, validate=lambda model: 1.0)
        kept = []
        task = replace(task, save_epoch=kept.append)
        with caplog.at_level(logging.INFO), suppress(Interrupt):
            fit(task, config, RUNTIME, folder, logger=logging.getLogger("gazeworks.test"))
        lines, _ = [r.getMessage() for r in caplog.records], caplog.clear()
        return lines, [path.name for path in kept]

    whole, kept = run(tmp_path / "whole")
    assert kept == ["epoch_002.safetensors", "epoch_004.safetensors"]
    assert [line[:13] for line in whole] == [f"epoch {n} of 4:" for n in range(1, 5)]
    assert all(name in whole[0] for name in ("square", "weights", "total", "best validation 1"))
    first, _ = run(tmp_path / "parts", stop_at=5)  # in the middle of the third epoch
    assert load_resume_state(tmp_path / "parts")["step"] == 4  # saved at the end of the second
    rest, _ = run(tmp_path / "parts")
    assert first + rest == whole
