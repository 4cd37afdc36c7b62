"""A toy system through everything that a real one goes through: three own files and one line of registration."""

import inspect
import json

import pytest

from flows import systems
from flows.cli import main as cli
from flows.cli.running import register
from flows.forms.derived import system_form
from flows.systems import SYSTEMS, System
from gaze_core.errors import BadInput
from tests.flows.cli.test_main import gazeworks
from tests.flows.uploaded import uploaded_files
from tests.toy.plan import ToyRequest

TOY = System("toy", ToyRequest, "tests.toy.flow:toy", ("toy_count",))  # the line


@pytest.fixture
def text(tmp_path, monkeypatch):
    """An input, in the folder in which a run starts, and a command line that has the toy's command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(systems, "SYSTEMS", (*SYSTEMS, TOY))
    monkeypatch.setattr(cli.app, "registered_commands", [*cli.app.registered_commands])
    register(cli.app, TOY)
    path = tmp_path / "text.txt"
    path.write_text("letters")
    return path


def report(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.mark.usefixtures("prefect_api")
def test_command_form_cache_and_report_of_a_toy(text, tmp_path, monkeypatch, capsys):
    command = ("toy", "--text", text, "--preset", "many", "--set", "count.limit=5")
    code, out, err = gazeworks(monkeypatch, capsys, *command)
    assert not code, err
    assert out.splitlines() == [
        f"{'letters':32} 5.00",
        "verdict: better",
        f"report: {tmp_path}/reports/toy/report.json",
    ]
    assert report(tmp_path / "reports" / "toy") == {"numbers": {"letters": 5.0}, "how": ["computed"]}
    assert uploaded_files("toy_pipeline") == {"report/report.json"}

    code, out, _ = gazeworks(monkeypatch, capsys, *command, "--json", "--out", "reports/second")
    assert not code
    assert json.loads(out)["numbers"] == {"letters": 5.0}
    assert report(tmp_path / "reports" / "second")["how"] == ["cached"]

    form = system_form("toy", systems.system("toy"), text="text.txt")
    form(preset="many", changes=["count.limit=5"], out="reports/form")
    assert report(tmp_path / "reports" / "form")["how"] == ["cached"]
    form(preset="many", changes=["count.limit=5"], out="reports/form", force=["toy_count"])
    assert report(tmp_path / "reports" / "form")["how"] == ["computed"]

    (tmp_path / "plan.yaml").write_text("count: {limit: 1}")
    state = form(config="plan.yaml", out="reports/form", return_state=True)
    assert (state.name, report(tmp_path / "reports" / "form")["numbers"]) == ("Regressed", {"letters": 1.0})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "manny"], "unknown preset 'manny'; expected one of: few, many; did you mean many?"),
        (["--set", "count.limt=3"], "--set count.limt: unknown key 'limt'; known here: limit; did you mean limit?"),
        (["--set", "limit=3"], "unknown key 'limit'; known here: count; did you mean count.limit?"),
        (["--set", "count.limit=0"], "count.limit: Input should be greater than 0"),
        (["--config", "absent.yaml"], "absent.yaml: no such file or folder; expected YAML or JSON"),
        (["--config", "text.txt"], "text.txt: expected an object or mapping of settings by their keys, found str"),
        (["--text", "absent.txt"], "absent.txt: no such file or folder; expected a text file"),
    ],
)
def test_a_mistake_is_one_line_before_any_server_starts(text, monkeypatch, capsys, arguments, message):
    monkeypatch.setattr("flows.cli.running.prefect_server", lambda: pytest.fail("a server was started"))
    options = {"--text": text} | dict([arguments])
    code, out, err = gazeworks(monkeypatch, capsys, "toy", *(part for pair in options.items() for part in pair))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("system", [*SYSTEMS, TOY], ids=lambda one: one.name)
def test_every_parameter_of_a_pipeline_comes_from_the_request_or_from_the_runner(system):
    known = {"plan", "out", "runtime", "force", *system.request.model_fields, *dir(system.request)}
    assert set(inspect.signature(system.pipeline().fn).parameters) <= known


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda one: one.name)
def test_the_stages_of_a_system_are_stages(system):
    from tasks.stage_task import StageTask
    from tasks.stages import driver, estimation, one_shot, redirection, talker

    known = {
        task.name
        for module in (driver, estimation, one_shot, redirection, talker)
        for task in vars(module).values()
        if isinstance(task, StageTask)
    }
    assert system.stages
    assert set(system.stages) <= known


def test_a_form_shows_the_fields_of_the_request_and_the_stages(text):
    fields = system_form("toy", TOY, text="text.txt").parameters.properties
    assert list(fields) == ["text", "preset", "changes", "config", "out", "device", "force"]
    assert fields["preset"]["enum"] == ["few", "many"]
    assert fields["force"]["items"]["const"] == "toy_count"
    assert fields["preset"]["description"] == "How far to count."


def test_a_form_refuses_paths_elsewhere(text, tmp_path):
    form = system_form("toy", TOY, text="text.txt")
    for name in ("text", "config", "out"):
        with pytest.raises(BadInput, match="runs on this worker may"):
            form.fn(**{name: "/etc/passwd"})
