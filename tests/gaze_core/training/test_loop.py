"""The training loop: exact resume, early stopping, clipping, and an error for a non-finite loss."""

import logging
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import cycle

import pytest
import torch
from lightning.fabric import Fabric
from pydantic import ValidationError
from torch import nn

from gaze_core.config import Runtime
from gaze_core.errors import BadInput, DivergedError
from gaze_core.training.checkpoint import load_resume_state, step_files
from gaze_core.training.history import STATS_FILE, read_history, write_history
from gaze_core.training.loop import Adversary, FitConfig, OptimizerConfig, SelectionConfig, Task, Term, Validation, fit
from gaze_core.training.processes import process_slice
from gaze_core.training.sampling import step_indices

RUNTIME = Runtime(device="cpu", checkpoint_every_steps=3, log_every_steps=1)


@dataclass
class Items:
    """A minimal batch."""

    values: torch.Tensor

    def __len__(self):
        return len(self.values)

    def to(self, device):
        return Items(self.values.to(device))


class Interrupt(Exception):
    pass


def measured(values, batch_sizes=(4,)):
    """A validation that returns these values one after another."""
    sequence = iter(values)

    def measure(model, batch):
        assert not model.training
        return {"error": torch.as_tensor(next(sequence))}

    return Validation(lambda: [Items(torch.zeros(size, 4)) for size in batch_sizes], measure)


def make_task(poison_at=-1, stop_at=-1, validation=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    data = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))

    def loss_terms(model, batch, step):
        if step == stop_at:
            raise Interrupt
        factor = math.nan if step == poison_at else 1.0
        return {
            "square": Term(model(batch.values).square().mean() * factor),
            "weights": Term(next(model.parameters()).abs().sum(), 0.01),
        }

    groups = [{"params": list(model.parameters()), "lr": 0.05}]
    return Task(model, groups, len(data), lambda order: (Items(data[items]) for items in order), loss_terms, validation)


def weights(task):
    return {name: value.clone() for name, value in task.model.state_dict().items()}


def assert_same_weights(task, other):
    for name, value in weights(other).items():
        assert torch.equal(weights(task)[name], value), name


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
            lambda m, b, _: {"l2": Term((m(b.values) - targets).square().mean())},
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
    assert_same_weights(resumed, whole)
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
    for one, other in zip(bad.model.parameters(), good.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_clipping_acts_after_backward_and_bounds_the_gradient(tmp_path):
    task = make_task()
    config = FitConfig(num_steps=1, learning_rate=0.05, max_grad_norm=1e-3)
    fit(task, config, RUNTIME, tmp_path)
    norm = torch.stack([p.grad.norm() for p in task.model.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_early_stopping_returns_the_best_weights(tmp_path):
    task = make_task(validation=measured([3.0, 1.0, 2.0, 2.0, 2.0]))
    config = FitConfig(num_steps=50, learning_rate=0.05, validate_every_steps=2, patience=2)
    summary = fit(task, config, RUNTIME, tmp_path / "stopped")
    assert summary.stopped_early
    assert (summary.num_steps, summary.kept_step) == (8, 4)
    assert summary.best_validation == 1.0
    after_four = make_task()
    fit(after_four, FitConfig(num_steps=4, learning_rate=0.05), RUNTIME, tmp_path / "four")
    assert_same_weights(task, after_four)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("cosine", (1.0, 0.883, 0.6, 0.2)), ("linear", (1.0, 0.8, 0.6, 0.2)), ("constant", (1.0, 1.0, 1.0, 1.0))],
)
def test_learning_rate_by_hand(schedule, expected):
    config = FitConfig(num_steps=10, warmup_steps=2, final_learning_rate_ratio=0.2, schedule=schedule)
    assert config.rate_factor(0, 99) == 0.5
    assert [config.rate_factor(step, 99) for step in (2, 4, 6, 10)] == pytest.approx(expected, abs=1e-3)


def test_warm_up_in_epochs_by_hand():
    config = FitConfig(num_epochs=4, batch_size=5, warmup_epochs=1.5)  # 2 steps an epoch
    assert [config.rate_factor(step, 10) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1.0])
    with pytest.raises(ValidationError, match="either warmup_steps or warmup_epochs"):
        FitConfig(num_epochs=1, warmup_epochs=1, warmup_steps=1)


def test_every_epoch_sees_every_sample_once():
    steps = [step_indices(10, 4, step, seed=7) for step in range(5)]
    flat = [index for step in steps for index in step]
    assert sorted(flat[:10]) == list(range(10))
    assert sorted(flat[10:]) == list(range(10))
    assert flat[:10] != flat[10:]


def test_a_run_from_first_step_on_equals_the_rest_of_the_whole_run(tmp_path):
    def run(folder, **config):
        read, drawn = [], []
        task = make_task()

        def loss_terms(model, batch, step):
            drawn.append(torch.rand(()).item())
            return {"square": Term(model(batch.values).square().mean())}

        inner = task.read_batches
        batches = lambda order: inner(items for items in order if not read.extend(items))  # noqa: E731
        fit(
            replace(task, read_batches=batches, loss_terms=loss_terms),
            FitConfig(batch_size=3, **config),
            RUNTIME,
            folder,
        )
        return read, drawn

    whole = run(tmp_path / "whole", num_steps=7)
    first, rest = run(tmp_path / "first", num_steps=4), run(tmp_path / "rest", num_steps=3, first_step=4)
    assert (first[0] + rest[0], first[1] + rest[1]) == whole


def test_ranks_share_one_epoch_without_overlap():
    both = [step_indices(12, 6, step, seed=1)[process_slice(6, rank, 2)] for step in range(2) for rank in range(2)]
    assert sorted(index for part in both for index in part) == list(range(12))


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(BadInput, match="batch_size 5 cannot be shared by 2 processes; .* for example 6"):
        process_slice(5, 0, 2)


def test_length_in_epochs_by_hand():
    config = FitConfig(num_epochs=3, batch_size=4)
    assert config.steps(10) == 8  # 30 samples in batches of 4
    assert [config.epochs_done(step, 10) for step in (2, 3, 5, 8)] == [0, 1, 2, 3]
    for wrong in ({}, {"num_steps": 1, "num_epochs": 1}):
        with pytest.raises(ValidationError, match="either num_steps or num_epochs"):
            FitConfig(**wrong)


def test_an_epoch_is_logged_validated_and_saved_even_across_an_interruption(tmp_path, caplog):
    config = FitConfig(num_epochs=4, batch_size=5, validate_every_epoch=True, keep_every_epochs=2)  # 2 steps an epoch

    def run(folder, stop_at=-1):
        task = make_task(stop_at=stop_at, validation=measured(cycle([1.0])))
        kept = []
        task = replace(task, save_epoch=kept.append)
        with caplog.at_level(logging.INFO), suppress(Interrupt):
            fit(task, config, RUNTIME, folder, logger=logging.getLogger("gazeworks.test"))
        lines, _ = [r.getMessage() for r in caplog.records], caplog.clear()
        return lines, [path.name for path in kept]

    whole, kept = run(tmp_path / "whole")
    assert kept == ["epoch_002.safetensors", "epoch_004.safetensors"]
    assert [line[:13] for line in whole[:-1]] == [f"epoch {n} of 4:" for n in range(1, 5)]
    assert whole[-1] == "ended after step 8: all steps were done; kept the weights of step 2 (validation 1)"
    assert all(name in whole[0] for name in ("square", "weights", "loss", "best validation 1"))
    first, _ = run(tmp_path / "parts", stop_at=5)  # in the middle of the third epoch
    assert load_resume_state(tmp_path / "parts")["step"] == 4  # saved at the end of the second
    rest, _ = run(tmp_path / "parts")
    assert first + rest == whole


def discriminator():
    torch.manual_seed(5)
    model = nn.Linear(1, 1)

    def loss_terms(adversary, batch, step):
        return {"real": Term((adversary(batch.values[:, :1]) - 1).square().mean(), 0.5)}

    return Adversary("critic", model, [{"params": list(model.parameters()), "lr": 0.1}], loss_terms, from_step=2)


def grow(task):
    """With a parameter that has three rows and, after step 4, five, as a densified cloud has."""
    extra = nn.Parameter(torch.ones(3))
    task.model.register_parameter("extra", extra)
    task.parameter_groups[0]["params"].append(extra)
    inner = task.loss_terms

    def loss_terms(model, batch, step):
        return dict(inner(model, batch, step)) | {"extra": Term(model.extra.square().sum(), 0.1)}

    def after_step(optimizer, num_steps):
        if num_steps != 4:
            return
        state = optimizer.state[extra]
        extra.data = torch.cat([extra.data, extra.data[:2]])
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = torch.cat([state[name], torch.zeros(2)])

    return replace(task, loss_terms=loss_terms, after_step=after_step)


VARIANTS = {
    "adamw": ({"optimizer": OptimizerConfig(name="adamw", betas=(0.8, 0.99), weight_decay=0.1)}, None),
    "linear": ({"schedule": "linear", "final_learning_rate_ratio": 0.1, "warmup_epochs": 0.5}, None),
    "accumulated": ({"batch_size": 4, "accumulate": 2}, None),
    "averaged": ({"ema_decay": 0.9, "validate_every_steps": 3, "patience": 99}, None),
    "frozen": ({"frozen": ("0.*", "1.*")}, None),
    "adversary": ({}, lambda task: replace(task, adversaries=(discriminator(),))),
    "selected late": ({"validate_every_epoch": True, "validations_per_epoch": 2, "patience": 99,
                       "selection": SelectionConfig(from_step=6)}, None),
    "grown": ({}, grow),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("stop_at", [2, 5, 8])
def test_each_variant_resumes_bit_identical(tmp_path, name, stop_at):
    changes, change = VARIANTS[name]
    config = FitConfig(**{"num_steps": 10, "batch_size": 3, "learning_rate": 0.05} | changes)

    def run(folder, stop_at=-1):
        validation = Validation(lambda: [Items(torch.ones(2, 4))], lambda m, b: {"output": m(b.values).mean()})
        task = make_task(stop_at=stop_at, validation=validation)
        task = change(task) if change else task
        with suppress(Interrupt):
            fit(task, config, RUNTIME, folder)
        return task

    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", stop_at)
    resumed = run(tmp_path / "parts")
    assert_same_weights(resumed, whole)
    for one, other in zip(resumed.adversaries, whole.adversaries, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))
    assert read_history(tmp_path / "parts") == read_history(tmp_path / "whole")


def test_gradient_accumulation_gives_the_gradient_of_the_batch(tmp_path):
    def run(folder, accumulate):
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        data = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
        read = lambda order: (Items(data[items]) for items in order)  # noqa: E731
        terms = lambda m, b, _: {"square": Term(m(b.values).square().mean(), 2.0)}  # noqa: E731
        task = Task(model, [{"params": list(model.parameters())}], 8, read, terms)
        summary = fit(task, FitConfig(num_steps=5, batch_size=4, accumulate=accumulate), RUNTIME, folder)
        return model.weight.detach(), summary.history

    (whole, history), (parts, parts_history) = run(tmp_path / "1", 1), run(tmp_path / "2", 2)
    assert torch.allclose(whole, parts, atol=1e-7)
    assert [row["square"] for row in parts_history] == pytest.approx([row["square"] for row in history])


def test_the_optimizer_is_the_configured_one(tmp_path):
    def run(**changes):
        task = make_task()
        fit(task, FitConfig(num_steps=3, learning_rate=0.05, **changes), RUNTIME, tmp_path / str(len(changes)))
        return weights(task)["0.weight"]

    adam = run()
    decayed = run(optimizer=OptimizerConfig(name="adamw", weight_decay=0.5), schedule="constant")
    assert not torch.equal(adam, decayed)
    assert decayed.norm() < adam.norm()


def test_frozen_parameters_and_their_statistics_stay_and_are_free_again_afterwards(tmp_path):
    task = make_task()
    before = weights(task)
    fit(task, FitConfig(num_steps=4, learning_rate=0.05, frozen=("0.*", "1.*")), RUNTIME, tmp_path)
    changed = {name for name, value in weights(task).items() if not torch.equal(value, before[name])}
    assert changed == {"3.weight", "3.bias"}
    assert all(parameter.requires_grad for parameter in task.model.parameters())
    for patterns, message in ((("5.*",), r"'5.\*' matches no parameter; expected a pattern of 0.\*, 1.\*, 3.\*"),
                              (("*",), "nothing is left to train")):  # fmt: skip
        with pytest.raises(BadInput, match=message):
            fit(make_task(), FitConfig(num_steps=1, frozen=patterns), RUNTIME, tmp_path / "bad")


def test_averaged_weights_are_validated_and_kept(tmp_path):
    task, seen = make_task(), []
    measure = lambda m, b: seen.append(weights(task)["3.weight"]) or {"error": torch.tensor(0.0)}  # noqa: E731
    task = replace(task, validation=Validation(lambda: [Items(torch.zeros(1, 4))], measure))
    config = FitConfig(num_steps=4, learning_rate=0.05, ema_decay=0.5, validate_every_steps=4)
    recorded, start = [], weights(make_task())["3.weight"]
    again = make_task()
    again = replace(again, after_step=lambda _, n: recorded.append(weights(again)["3.weight"]))
    fit(again, FitConfig(num_steps=4, learning_rate=0.05), RUNTIME, tmp_path / "again")
    fit(task, config, RUNTIME, tmp_path / "averaged")
    expected = start
    for step, value in enumerate(recorded, start=1):
        expected = torch.lerp(expected, value, 1 - min(0.5, (1 + step) / (10 + step)))
    assert torch.allclose(seen[0], expected, atol=1e-7)
    assert torch.allclose(weights(task)["3.weight"], expected, atol=1e-7)


def test_an_adversary_is_trained_from_its_first_step_on_with_its_own_optimizer(tmp_path):
    with_adversary = replace(make_task(), adversaries=(discriminator(),))
    before = with_adversary.adversaries[0].model.weight.detach().clone()
    alone = make_task()
    summary = fit(with_adversary, FitConfig(num_steps=5, learning_rate=0.05), RUNTIME, tmp_path / "two")
    fit(alone, FitConfig(num_steps=5, learning_rate=0.05), RUNTIME, tmp_path / "one")
    assert_same_weights(with_adversary, alone)
    assert not torch.equal(with_adversary.adversaries[0].model.weight, before)
    assert ["critic/real" in row for row in summary.history] == [False, False, True, True, True]
    assert summary.history[-1]["critic/weighted/real"] == pytest.approx(0.5 * summary.history[-1]["critic/real"])


def run_selection(folder, values, **selection):
    task = make_task(validation=measured(values))
    every = {"validate_every_steps": 1, "patience": 2, "selection": SelectionConfig(**selection)}
    summary = fit(task, FitConfig(num_steps=len(values), learning_rate=0.05, **every), RUNTIME, folder)
    return summary.num_steps, summary.kept_step, summary.best_validation


def test_selection_by_hand(tmp_path):
    nan = math.nan
    assert run_selection(tmp_path / "a", [1.0, 9.0, 8.0, 7.0], from_step=2) == (4, 4, 7.0)
    assert run_selection(tmp_path / "b", [1.0, 9.0, 9.0, 9.0], enabled=False) == (4, 4, None)
    assert run_selection(tmp_path / "c", [1.0, 3.0, 2.0, 2.0], mode="max") == (4, 2, 3.0)
    assert run_selection(tmp_path / "d", [nan, 3.0, 2.0, 4.0]) == (4, 3, 2.0)
    # The smallest value is kept even where it is too small an improvement to count for patience.
    assert run_selection(tmp_path / "e", [1.0, 0.99995, 0.9999]) == (3, 3, pytest.approx(0.9999))
    with pytest.raises(BadInput, match="selection.metric 'psnr' is not measured; expected one of: error"):
        run_selection(tmp_path / "f", [1.0], metric="psnr")


def test_the_best_few_stay_in_files_of_their_own_also_after_an_interruption(tmp_path):
    values = [5.0, 2.0, 4.0, 3.0, 6.0, 1.0]
    for name, stop_at in (("whole", -1), ("resumed", 3)):
        sequence = list(values)
        for stop in (stop_at, -1):
            config = FitConfig(num_steps=6, validate_every_steps=1, patience=9, selection=SelectionConfig(keep=3))
            runtime = RUNTIME.model_copy(update={"checkpoint_every_steps": 1})
            task = make_task(stop_at=stop, validation=measured(sequence))
            with suppress(Interrupt):
                fit(task, config, runtime, tmp_path / name)
            sequence = values[3:]
    kept = [step_files(tmp_path / name) for name in ("whole", "resumed")]
    assert list(kept[0]) == list(kept[1]) == [f"step_{step:07d}.safetensors" for step in (2, 4, 6)]
    for name, path in kept[0].items():
        assert path.read_bytes() == kept[1][name].read_bytes()


def test_an_improvement_below_min_delta_does_not_count_for_patience(tmp_path):
    falling = [1.0 - 2e-5 * n for n in range(8)]  # 1e-4 lower than the first one only at the sixth
    assert run_selection(tmp_path / "slow", falling)[0] == 3
    assert run_selection(tmp_path / "fast", [1.0 - 2e-4 * n for n in range(8)])[0] == 8


def test_patience_and_the_best_survive_an_interruption(tmp_path):
    values = [5.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    config = FitConfig(num_steps=8, learning_rate=0.05, validate_every_steps=1, patience=4)
    every = RUNTIME.model_copy(update={"checkpoint_every_steps": 1})

    def run(folder, found, stop_at=-1):
        task = make_task(stop_at=stop_at, validation=measured(found))
        return fit(task, config, every, folder), task

    whole, task = run(tmp_path / "whole", values)
    assert (whole.num_steps, whole.kept_step, whole.best_validation) == (6, 2, 3.0)
    with pytest.raises(Interrupt):
        run(tmp_path / "parts", values, stop_at=4)
    rest, resumed = run(tmp_path / "parts", values[4:])
    assert (rest.num_steps, rest.kept_step, rest.best_validation) == (6, 2, 3.0)
    assert_same_weights(resumed, task)


def test_rows_written_after_the_last_checkpoint_are_not_logged_twice(tmp_path):
    config = FitConfig(num_steps=8, learning_rate=0.05)
    with pytest.raises(Interrupt):
        fit(make_task(stop_at=4), config, RUNTIME, tmp_path)
    rows = read_history(tmp_path)
    assert [row["step"] for row in rows] == [1, 2, 3]
    write_history(tmp_path, [*rows, {"step": 4, "loss": 99.0}])  # killed between the two files
    history = fit(make_task(), config, RUNTIME, tmp_path).history
    assert [row["step"] for row in history] == list(range(1, 9))
    assert history[3]["loss"] != 99.0


def test_every_step_of_every_process_has_its_own_random_numbers(tmp_path, monkeypatch):
    def run(rank):
        drawn = []
        monkeypatch.setattr(Fabric, "global_rank", property(lambda _: rank))
        monkeypatch.setattr("gaze_core.training.loop.process_slice", lambda *_: slice(None))

        def loss_terms(model, batch, step):
            drawn.append(torch.rand(()).item())
            return {"square": Term(model(batch.values).square().mean())}

        fit(replace(make_task(), loss_terms=loss_terms), FitConfig(num_steps=3), RUNTIME, tmp_path / str(rank))
        return drawn

    assert len({*run(0), *run(1)}) == 6


def test_validation_means_weigh_every_sample_and_empty_validation_is_refused(tmp_path):
    config = FitConfig(num_steps=1, validate_every_steps=1)
    task = make_task(validation=measured([1.0, 5.0], batch_sizes=(3, 1)))
    assert fit(task, config, RUNTIME, tmp_path / "some").best_validation == 2.0
    with pytest.raises(BadInput, match="no held-out sample"):
        fit(make_task(validation=measured([], batch_sizes=())), config, RUNTIME, tmp_path / "none")


def test_terms_are_logged_in_their_unit_and_weighted_beside_it(tmp_path):
    summary = fit(make_task(), FitConfig(num_steps=1, learning_rate=0.05), RUNTIME, tmp_path)
    row = summary.history[0]
    assert row["weighted/weights"] == pytest.approx(0.01 * row["weights"])
    assert row["loss"] == pytest.approx(row["square"] + row["weighted/weights"])
    assert "weighted/square" not in row  # its weight is 1


def test_a_truncated_history_is_read_up_to_its_last_complete_line(tmp_path):
    (tmp_path / STATS_FILE).write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_history(tmp_path) == [{"step": 1, "loss": 2.0}]


def test_a_resume_state_of_another_format_is_ignored(tmp_path):
    torch.save({"step": 3, "model": {}}, tmp_path / "last.train.pt")
    assert fit(make_task(), FitConfig(num_steps=2), RUNTIME, tmp_path).resumed_from_step == 0


def test_fields_added_later_do_not_change_older_cache_keys():
    assert FitConfig(num_steps=400, batch_size=4, learning_rate=1e-3).digest() == "f078bc3a02dd"
    assert FitConfig(num_steps=400, accumulate=2).digest() != FitConfig(num_steps=400).digest()


def test_of_several_processes_only_the_first_writes(tmp_path, monkeypatch):
    config = FitConfig(num_epochs=2, batch_size=5, validate_every_epoch=True, keep_every_epochs=1)

    def run(is_main_process):
        kept = []
        task = replace(make_task(validation=measured([2.0, 1.0])), save_epoch=kept.append)
        monkeypatch.setattr(Fabric, "is_global_zero", property(lambda _: is_main_process))
        fit(task, config, RUNTIME.model_copy(update={"checkpoint_every_steps": 1}), tmp_path)
        return kept, {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    kept, written = run(is_main_process=True)
    assert len(kept) == 2
    (tmp_path / "last.train.pt").unlink()  # so that the other process begins at the beginning, too
    del written["last.train.pt"]
    assert run(is_main_process=False) == ([], written)
