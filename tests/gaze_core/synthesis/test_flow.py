"""Subjects as a flow: rendered side by side, each to its own file, and the same for any number of workers."""

import threading

import h5py
import numpy as np
import pytest

import flows.synthesis
from flows.synthesis import subject_files
from gaze_core.config import Runtime
from gaze_core.errors import BadInput
from gaze_core.synthesis.factory import SubjectConfig, synthesize_subject
from gaze_core.synthesis.head import load_anny
from gaze_core.synthesis.people import subject_configs
from gaze_core.synthesis.rig import View

pytestmark = pytest.mark.usefixtures("prefect_api")


@pytest.fixture
def rendered(monkeypatch):
    """Configurations and runtimes that reach the factory, which here only writes a mark."""
    calls = {}

    def render(config, out, runtime):
        calls[config.subject] = (config, runtime)
        out.write_text(config.subject)
        return out

    monkeypatch.setattr(flows.synthesis, "synthesize_subject", render)
    return calls


def test_people_have_their_own_files_seeds_and_sizes(rendered, tmp_path):
    people = subject_configs(3, 10, 64, 7, rig="eth_xgaze", lights=("window", "flash"))
    files = subject_files(people, tmp_path / "people")
    assert [path.name for path in files] == ["synthetic_0007.h5", "synthetic_0008.h5", "synthetic_0009.h5"]
    assert all(path.read_text() == path.stem for path in files)
    configs = [rendered[path.stem][0] for path in files]
    assert [config.identity_seed for config in configs] == [7, 8, 9]
    assert {(config.num_images, config.num_held_out) for config in configs} == {(8, 2)}
    assert {config.view for config in configs} == {View(size_px=64, focal_px=132.0)}
    assert {(config.rig, config.lights) for config in configs} == {("eth_xgaze", ("window", "flash"))}
    assert all(runtime.num_workers >= 1 for _, runtime in rendered.values())


@pytest.mark.skipif(flows.synthesis.CORES < 2, reason="one core renders one person at a time")
def test_people_are_rendered_side_by_side(monkeypatch, tmp_path):
    meet = threading.Barrier(2)

    def render(config, out, runtime):
        meet.wait(timeout=60)  # breaks unless the other person is being rendered now
        return out

    monkeypatch.setattr(flows.synthesis, "synthesize_subject", render)
    assert len(subject_files(subject_configs(2, 4, 32, 0), tmp_path)) == 2


def test_a_person_that_fails_is_no_silent_gap(monkeypatch, tmp_path):
    def render(config, out, runtime):
        if config.identity_seed == 1:
            raise BadInput("anny is not installed")
        return out

    monkeypatch.setattr(flows.synthesis, "synthesize_subject", render)
    people = subject_configs(2, 4, 32, 0)
    with pytest.raises(BadInput, match="anny is not installed"):
        subject_files(people, tmp_path)


def test_an_unknown_rig_is_refused_by_name():
    with pytest.raises(BadInput, match=r"no rig named 'ring'; expected one of: frontal, .*eth_xgaze"):
        subject_configs(1, 4, 32, 0, rig="ring")


def test_the_number_of_workers_changes_no_byte(tmp_path):
    models = pytest.importorskip("anny.models", reason="anny is not installed")
    pytest.importorskip("mitsuba", reason="mitsuba is not installed")

    def refuse(**_):
        pytest.skip("anny's cache is not built on this machine")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "build_model_data", refuse)
        load_anny()
    config = SubjectConfig(
        identity_seed=3, num_images=2, num_held_out=1, view=View(size_px=48, focal_px=99.0), num_samples=4,
        subdivisions=0, rig="eth_xgaze", lights=("studio", "flash"),
    )  # fmt: skip
    alone, together = (synthesize_subject(config, tmp_path / f"{n}.h5", Runtime(num_workers=n)) for n in (0, 2))
    with h5py.File(alone) as a, h5py.File(together) as b:
        names: list[str] = []
        a.visit(lambda name: names.append(name) if isinstance(a[name], h5py.Dataset) else None)
        assert len(names) > 20
        for name in names:
            np.testing.assert_array_equal(a[name][()], b[name][()], err_msg=name)
        assert a["image"][()].std() > 0
        assert not np.array_equal(a["image"][0], a["image"][1])
        assert dict(a.attrs) == dict(b.attrs)
    assert alone.read_bytes() == together.read_bytes()
