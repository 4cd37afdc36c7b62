"""Settings of a file and of single keys: precedence, refusals and suggestions."""

import pytest

from gaze_core.config import Config
from gaze_core.errors import BadInput
from gaze_core.plans.settings import lookup, nearest, overridden, read_settings, validated


class Fit(Config):
    num_steps: int = 10
    learning_rate: float = 1.0


class Sample(Config):
    head: Fit = Fit()
    eyes: Fit = Fit()
    codes: tuple[int, ...] = (1, 2)
    encoder: Fit | None = None


def test_a_file_wins_over_the_preset_and_overrides_win_over_the_file(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("head: {num_steps: 20, learning_rate: 1e-3}\ncodes: [3]\nencoder: {num_steps: 5}\n")
    plan = overridden(Sample(), ["head.num_steps=30", "encoder.learning_rate=2"], file)
    assert plan == Sample(
        head=Fit(num_steps=30, learning_rate=1e-3), codes=(3,), encoder=Fit(num_steps=5, learning_rate=2)
    )


def test_the_same_settings_in_json(tmp_path):
    (tmp_path / "settings.json").write_text('{"eyes": {"num_steps": 7}}')
    assert overridden(Sample(), (), tmp_path / "settings.json") == Sample(eyes=Fit(num_steps=7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("head.num_stps=1", "unknown key 'num_stps'; known here: num_steps, learning_rate; did you mean num_steps?"),
        (
            "num_steps=1",
            "unknown key 'num_steps'; known here: head, eyes, codes, encoder; did you mean head.num_steps?",
        ),
        ("head.num_steps.x=1", "unknown key 'x'; known here: nothing below a value"),
        ("head.num_steps=x", "head.num_steps: Input should be a valid integer"),
        ("head", "expected KEY=VALUE, for example head.num_steps"),
    ],
)
def test_an_invalid_override(change, message):
    with pytest.raises(BadInput) as raised:
        overridden(Sample(), [change])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("head: {num_stps: 1}", "head: unknown key 'num_stps'; known here: num_steps, learning_rate; did you mean num_steps?"),
        ("head: {num_steps: x}", "head.num_steps: Input should be a valid integer"),
        ("- head", "expected an object or mapping of settings by their keys, found list"),
        ("1: 2", "expected an object or mapping of settings"),
        ("head: [", "no readable JSON or YAML"),
        ("", "found NoneType"),
        ("!!python/object:os.system {}", "no readable JSON or YAML"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(BadInput) as raised:
        overridden(Sample(), (), tmp_path / "settings.yaml")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_file_that_is_not_text(tmp_path):
    (tmp_path / "settings.json").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "absent.json", tmp_path / "settings.json", tmp_path):
        with pytest.raises(BadInput, match="no readable JSON"):
            read_settings(path)


def test_names_of_a_table_and_suggestions():
    assert lookup("preset", "a", {"a": 1}) == 1
    with pytest.raises(BadInput, match="unknown preset 'tinny'; expected one of: tiny, small; did you mean tiny"):
        lookup("preset", "tinny", {"tiny": 1, "small": 2})
    assert nearest("huge", ["tiny"]) == ""
    with pytest.raises(BadInput, match="num_steps: Field required|num_steps: Input should be"):
        validated(Fit, {"num_steps": None})
