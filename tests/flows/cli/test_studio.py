"""`gazeworks studio` from the command line: what it refuses before it serves."""

import pytest

from tests.flows.cli.test_main import gazeworks


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--photo", "none.jpg"], "none.jpg: no such file; expected a photo"),
     (["--checkpoint", "none"], "none: expected the folder of a checkpoint"),
     (["--host", "192.0.2.1"], "192.0.2.1, port 0: cannot listen there")],
)  # fmt: skip
def test_what_it_cannot_serve_is_one_line(monkeypatch, capsys, tmp_path, arguments, expected):
    monkeypatch.chdir(tmp_path)
    code, _, err = gazeworks(monkeypatch, capsys, "studio", "--headless", *arguments)
    assert code == 2
    assert expected in err
    assert "Traceback" not in err
