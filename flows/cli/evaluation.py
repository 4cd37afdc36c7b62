"""`gazeworks evaluate`, `compare`, `pairs`, `augment`: measure models, compare them, make pair files, test augmentation."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from flows.cli.options import Device, Force, Json, Record, ReportFolder, file_option
from gaze_core.errors import BadInput
from tasks.console import print_json, print_line, print_report
from tasks.measurements import record_report
from tasks.server.own_server import prefect_server

Judge = Annotated[
    Literal["cnn", "landmarks", "iris", "openvino"],
    typer.Option(
        help="Gaze estimator of the evaluation: network; for people also eye landmarks, eyeball model, OpenVINO."
    ),
]
Protocol = Annotated[str, typer.Option(help="Name of a protocol; default: that of the data's source.")]
PairFile = Annotated[Path | None, typer.Option(help="Pair file, made by: gazeworks pairs.")]
Data = Annotated[
    str | None,
    typer.Option(help="Subject files, a data set, or a report; default: the model's own data."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the pairs, if the protocol lists none.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (evaluate, compare, pairs, augment):
        app.command()(command)


def evaluate(
    checkpoint: Annotated[str, typer.Option(help="Report (REPORT:baseline for its baseline) or folder of a model.")],
    data: Data = None,
    protocol: Protocol = "",
    pairs: PairFile = None,
    judge: Judge = "cnn",
    seed: Seed = 0,
    out: ReportFolder = Path("reports/evaluation"),
    device: Device = "auto",
    force: Force = None,
    as_json: Json = False,
    record: Record = None,
) -> None:
    """Measure a trained model on frames that no training has seen, and write a report."""
    from flows.references import data_of, find_data, find_reference
    from gaze_core.config import Runtime

    model = find_reference(checkpoint, "candidate")
    config, listed = _config(protocol, judge, seed, pairs)
    source = find_data(data) if data else data_of(model)
    with prefect_server() as ready:
        from flows.evaluation import evaluation

        runtime = _runtime(Runtime, device, as_json)
        ready()
        result = evaluation(model, source, config, out.resolve(), runtime, listed, tuple(force or ()))
    if record:
        record_report(record, "evaluation of a redirector on held-out frames", result.report, config)
    _show(result, as_json)


def compare(
    candidate: Annotated[str, typer.Option(help="Report (REPORT:baseline for its baseline) or folder of a model.")],
    baseline: Annotated[str, typer.Option(help="The same, or: champion (the model registry's).")] = "champion",
    data: Data = None,
    protocol: Protocol = "",
    pairs: PairFile = None,
    judge: Judge = "cnn",
    seed: Seed = 0,
    tolerance: Annotated[
        list[str] | None, typer.Option(help="metric=value, for example psnr_db=0.5 or ssim=null. May be repeated.")
    ] = None,
    out: ReportFolder = Path("reports/comparison"),
    device: Device = "auto",
    force: Force = None,
    as_json: Json = False,
    record: Record = None,
) -> None:
    """Compare a model with another on the same pairs; a model that is better than the champion becomes the champion."""
    from flows.references import data_of, find_data, find_reference
    from gaze_core.config import Runtime

    limits = _tolerance(tolerance or ())
    ours = find_reference(candidate, "candidate")
    theirs = None if baseline == "champion" else find_reference(baseline, "candidate")
    config, listed = _config(protocol, judge, seed, pairs)
    source = find_data(data) if data else data_of(ours)
    with prefect_server() as ready:
        from flows.evaluation import comparison

        runtime = _runtime(Runtime, device, as_json)
        ready()
        state = comparison(
            ours, theirs, source, config, out.resolve(), limits, runtime, listed, tuple(force or ()), return_state=True
        )
        result = state.result()
    if record:
        record_report(record, "comparison of two redirectors on the same pairs", result.report, config)
    _show(result, as_json)


def pairs(
    published: Annotated[Path, typer.Argument(help="A published list, one frame per line.")],
    protocol: Annotated[str, typer.Option(help="Protocol of the pairs; an unknown name lists the known ones.")],
    out: Annotated[Path, file_option("The pair file to write.")] = Path("pairs.csv"),
    subject: Annotated[
        list[str] | None, typer.Option(help="Only this subject; may be repeated. Default: all of the protocol.")
    ] = None,
    lines_hold: Annotated[Literal["targets", "inputs"], typer.Option(help="What the lines name.")] = "targets",
) -> None:
    """Turn a published pair list into a pair file with named columns."""
    from gaze_core.evaluation.pairs import from_published_list, write_pairs
    from gaze_core.evaluation.protocols import protocol as protocol_named

    chosen = protocol_named(protocol)
    subjects = tuple(subject or chosen.subject_names)
    if not subjects:
        raise BadInput(f"protocol {chosen.name} names no subjects; name each with --subject")
    listed = from_published_list(published, subjects, chosen.pairs_per_subject, lines_hold)
    write_pairs(out, chosen.sources[0], listed)
    count = len(listed[subjects[0]].inputs)
    print_line(f"{out}: {count} pairs for each of {len(subjects)} subjects")


def augment(
    checkpoint: Annotated[str, typer.Option(help="Report (REPORT:baseline for its baseline) or folder of a model.")],
    data: Data = None,
    real: Annotated[int, typer.Option(min=1, help="Real images of each subject to train on.")] = 8,
    generated: Annotated[int, typer.Option(min=1, help="Redirected images to add.")] = 192,
    repeats: Annotated[int, typer.Option(min=1, help="Random choices of the real images.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Training steps in each arm.")] = 100,
    start: Annotated[
        Literal["pretrained", "scratch"], typer.Option(help="Start from the shipped estimator or from random weights.")
    ] = "pretrained",
    seed: Seed = 0,
    out: ReportFolder = Path("reports/augmentation"),
    device: Device = "auto",
    force: Force = None,
    as_json: Json = False,
    record: Record = None,
) -> None:
    """Train an estimator on few real images, with and without redirected ones, and report the difference."""
    from flows.references import data_of, find_reference
    from gaze_core.config import Runtime
    from gaze_core.stages.redirection.downstream import DownstreamConfig

    model = find_reference(checkpoint)
    source = find_reference(data, "data") if data else data_of(model)
    config = DownstreamConfig(
        num_real=real, num_generated=generated, num_repeats=repeats, num_steps=steps, start=start, seed=seed
    )
    with prefect_server() as ready:
        from flows.augmentation import augmentation

        runtime = _runtime(Runtime, device, as_json)
        ready()
        result = augmentation(model, source, config, out.resolve(), runtime, tuple(force or ()))
    if record:
        record_report(record, "an estimator with and without redirected images", result.report, config)
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    for name, value in result.numbers.items():
        print_line(f"{name:32} {value:.2f}")
    print_line(f"redirected images: {result.verdict}\n{result.caveat}\nreport: {result.report}")


def _config(protocol: str, judge: Literal["cnn", "landmarks", "iris", "openvino"], seed: int, pair_file: Path | None):  # type: ignore[no-untyped-def]
    """The configuration of the evaluation, with all available metric networks, and the pair file in the store."""
    from gaze_core.evaluation.protocols import protocol as protocol_named
    from gaze_core.stages.redirection.evaluate import EvaluateConfig
    from tasks.store.recordings import import_recording

    if protocol:
        protocol_named(protocol)
    config = EvaluateConfig(judge=judge, protocol=protocol, seed=seed).with_available_metrics()
    if pair_file is not None and not pair_file.is_file():
        raise BadInput(f"{pair_file}: no such file; expected a pair file, made by: gazeworks pairs")
    return config, import_recording.fn(pair_file) if pair_file else None


def _tolerance(given: list[str] | tuple[str, ...]):  # type: ignore[no-untyped-def]
    from gaze_core.evaluation.report import Tolerance

    values = {}
    for setting in given:
        name, equals, text = setting.partition("=")
        if not equals or name not in Tolerance.model_fields:
            raise BadInput(
                f"--tolerance {setting!r}: expected NAME=VALUE, NAME one of {', '.join(Tolerance.model_fields)}"
            )
        values[name] = None if text == "null" else text
    try:
        return Tolerance.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"--tolerance {first['loc'][0]}: {first['msg']} (found {first['input']!r})") from error


def _runtime(make, device: str, as_json: bool):  # type: ignore[no-untyped-def]
    from tasks import environment

    environment.configure_logging()
    return make(device=device, progress=not as_json)


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    for name in ("gaze_error_deg", "identity_copy_gaze_error_deg", "estimator_floor_deg", "head_error_deg", "psnr_db"):
        value = result.numbers.get(name)
        print_line(f"{name:32} {'n/a' if value is None else f'{value:.2f}'}")
    if result.verdict != "not compared":
        print_line(f"verdict: {result.verdict}")
        for reason in result.reasons:
            print_line(f"  {reason}")
    if result.registry:
        print_line(f"registry: {result.registry}")
    print_line("digests: " + ", ".join(f"{role} {digest}" for role, digest in result.digests.items()))
    print_report(result.report, result.faults, result.checkpoints, result.remarks)
