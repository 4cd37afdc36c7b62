import cv2
import numpy as np
from matplotlib.figure import Figure

from gaze_core.training.history import STATS_FILE, write_history
from tasks.tracking.figures import CURVES_FILE, figures_of, plot_curves


def test_training_curves_become_one_image(tmp_path):
    write_history(tmp_path, [{"step": step, "loss": 1 / step, "psnr": float(step)} for step in range(1, 30)])
    (tmp_path / "weights").write_bytes(b"")
    (drawn,) = figures_of({STATS_FILE: tmp_path / STATS_FILE, "weights": tmp_path / "weights"}, tmp_path)
    assert drawn.name == CURVES_FILE
    image = cv2.imread(str(drawn))
    assert image.std() > 5
    assert np.any(image[:, : image.shape[1] // 2] < 200)
    assert np.any(image[:, image.shape[1] // 2 :] < 200)  # both panels


def test_panels_stand_in_the_order_of_a_report_under_their_units(tmp_path, monkeypatch):
    rows = [{"step": 1, "gaze_deg": 2.0, "weighted/gaze_deg": 0.2, "loss": 0.2}, {"step": 1, "validation/head_l1": 0.1}]
    figures = []
    monkeypatch.setattr(
        "tasks.tracking.figures.Figure", lambda **options: figures.append(Figure(**options)) or figures[-1]
    )
    plot_curves(rows, tmp_path / CURVES_FILE)
    titles = [axes.get_title() for axes in figures[0].axes]
    assert titles == ["validation: head l1", "loss", "gaze, °", "weighted: gaze deg"]


def test_images_of_a_stage_are_logged_unless_they_are_huge(tmp_path):
    for name, size in (("small.png", 10), ("huge.png", 6_000_000), ("data.bin", 10)):
        (tmp_path / name).write_bytes(bytes(size))
    found = figures_of({path.name: path for path in tmp_path.iterdir()}, tmp_path)
    assert [path.name for path in found] == ["small.png"]


def test_a_training_without_logged_steps_gives_an_empty_plot(tmp_path):
    write_history(tmp_path, [])
    assert figures_of({STATS_FILE: tmp_path / STATS_FILE}, tmp_path)[0].is_file()
