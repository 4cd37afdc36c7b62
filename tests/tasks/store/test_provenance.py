"""The commit in a manifest: edited code is marked, edited documents and records are not."""

import subprocess

import pytest

from tasks.store import provenance


@pytest.fixture
def checkout(monkeypatch, tmp_path):
    """The folder of a git checkout with one commit, which `provenance` inspects."""

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=tmp_path, check=True)

    for name in ("tasks/store/provenance.py", "docs/benchmarks.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "-m", "x")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "tasks/store/provenance.py"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("docs/benchmarks.md", False),
        ("docs/measured/demo/new.json", False),
        ("tasks/store/provenance.py", True),
        ("tasks/new.py", True),
        ("pyproject.toml", True),
    ],
)
def test_a_commit_is_changed_where_code_is(checkout, name, changed):
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("edited\n")
    commit = provenance.git_commit.__wrapped__()
    assert len(commit.removesuffix("+changes")) == 40
    assert commit.endswith("+changes") == changed


def test_outside_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "tasks/store/provenance.py"))
    assert provenance.git_commit.__wrapped__() == ""
