"""The eye tracker's table with every fault that real exports have."""

import numpy as np
import pytest

from gaze_core.driver.sensors import SensorColumns, read_track
from gaze_core.driver.signs import check_signs
from gaze_core.errors import BadInput

HEADER = "timestamp [ns],dash_frames,gaze x [px],gaze y [px],worn,blink id,azimuth [deg],elevation [deg]"


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "gaze.csv"
    path.write_bytes(text.encode(encoding))
    return path


def read(tmp_path, text, encoding="utf-8", **columns):
    return read_track(write(tmp_path, text, encoding), SensorColumns(**columns))


def test_rows_of_one_frame_become_their_median_and_spread(tmp_path):
    angles = [1.0, 1.2, 1.1, 0.9, 1.0, 30.0]  # the last one is a glitch
    rows = "\n".join(f"0,7,500,500,1,,{a},{-a / 10}" for a in angles)
    gaze = read(tmp_path, f"{HEADER}\n{rows}\n").gaze[7]
    assert gaze.azimuth_deg == pytest.approx(1.05)
    assert gaze.elevation_deg == pytest.approx(-0.105)
    assert gaze.azimuth_spread_deg == pytest.approx(1.4826 * 0.1)  # median of 0.05 0.15 0.05 0.15 0.05 28.95
    assert gaze.num_rows == 6
    assert gaze.scene_px == (500, 500)


def test_a_byte_order_mark_semicolons_and_decimal_commas(tmp_path):
    text = "dash_frames;azimuth [deg];elevation [deg]\n3;-1,5;2,25\n"
    for encoding in ("utf-8", "utf-8-sig"):
        gaze = read(tmp_path, text, encoding).gaze[3]
        assert (gaze.azimuth_deg, gaze.elevation_deg) == (-1.5, 2.25)
    quoted = read(tmp_path, 'dash_frames,azimuth [deg],elevation [deg]\n3,"-1,5","2,25"\n').gaze[3]
    assert (quoted.azimuth_deg, quoted.elevation_deg) == (-1.5, 2.25)


@pytest.mark.parametrize("header", ["Azimuth [rad]", "azimuth  [radians]"])
def test_units_are_read_from_the_header(tmp_path, header):
    gaze = read(tmp_path, f"dash_frames,{header},elevation [deg]\n3,0.5,2\n").gaze[3]
    assert gaze.azimuth_deg == pytest.approx(28.6479, abs=1e-3)
    assert gaze.elevation_deg == 2


def test_an_unknown_unit_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"'azimuth \[gon\]' has the unit 'gon'; expected deg or rad"):
        read(tmp_path, "dash_frames,azimuth [gon],elevation [deg]\n3,0.5,2\n")


def test_each_bad_row_is_counted_by_its_reason(tmp_path):
    rows = [
        "0,1,,,1,,5,5", "0,n/a,,,1,,5,5", "0,1.5,,,1,,5,5", "0,2,,,1,,,", "0,3,,,1,,inf,2", "0,4,,,1,,120,2",
        "0,5,,,0,,1,2", "0,6,,,1,17,1,2", "0,7", "0,6,,,1,17,1,2", "0,6,,,1,,x,2",
    ]  # fmt: skip
    track = read(tmp_path, "\n".join([HEADER, *rows]))
    assert set(track.gaze) == {1}
    assert track.row_faults == {
        "no_frame_number": 2, "angle_not_a_number": 3, "angle_out_of_range": 1, "not_worn": 1, "blink": 2, "malformed": 1,
    }  # fmt: skip
    assert [track.fault(frame) for frame in (1, 2, 5, 6, 99)] == [
        "",
        "angle_not_a_number",
        "not_worn",
        "blink",
        "no_row",
    ]
    assert track.num_rows == len(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty; expected a CSV with a header"),
        ("frame,pitch\n1,2\n", r"no column for azimuth; expected 'azimuth', found: frame, pitch; name it with --set"),
        (f"{HEADER}\n", r"none of 0 rows has a usable gaze \(no rows\)"),
        (f"{HEADER}\n0,1,,,0,,5,5\n", r"none of 1 rows has a usable gaze \(not_worn: 1\)"),
    ],
)
def test_tables_without_any_gaze_are_refused(tmp_path, text, message):
    with pytest.raises(BadInput, match=message):
        read(tmp_path, text)


def test_files_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "gaze.csv"
    with pytest.raises(BadInput, match="not readable"):
        read_track(path, SensorColumns())
    for text in (b"\xff\xfe\x00\x01", "frame;azimuth [\u00b0]".encode("latin-1")):
        path.write_bytes(text)
        with pytest.raises(BadInput, match="not UTF-8 text"):
            read_track(path, SensorColumns())
    path.unlink()
    path.mkdir()
    with pytest.raises(BadInput, match="not readable"):
        read_track(path, SensorColumns())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('8,"1.0,2.0', "gaze.csv: line 9: unexpected end of data; correct the quotes or the delimiters"),
        ('8,"1.0"x,2.0', "gaze.csv: line 9: ',' expected after"),
        (f"8,{'1' * 200_000},2.0", "gaze.csv: line 9: field larger than field limit"),
    ],
)
def test_an_open_quote_swallows_no_rows_silently(tmp_path, line, message):
    lines = [
        "frame,azimuth,elevation",
        *(f"{n},1,2" for n in range(1, 8)),
        line,
        *(f'{n},1,2,""' for n in range(9, 60)),
    ]
    with pytest.raises(BadInput) as caught:
        read(tmp_path, "\n".join(lines))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_quoted_cell_may_hold_the_delimiter(tmp_path):
    track = read(tmp_path, 'frame,azimuth,elevation,scenario\r\n"1",2,3,"left, then 5"" right"\r\n')
    assert track.gaze[1].scenario == 'left, then 5" right'


@pytest.mark.parametrize(
    ("cell", "frame"),
    [("1000", 1000), ("1000.0", 1000), ('"12,00"', 12), ("7.", 7), ("12.000000", 12), ('"1,000"', None), ('"1,234"', None),
     ("1.000", None), ("1e3", None), ("-1", None), ("0x10", None), ("inf", None)],
)  # fmt: skip
def test_a_frame_number_is_never_guessed(tmp_path, cell, frame):
    track = read(tmp_path, f"frame,azimuth,elevation\n5,1,2\n{cell},1,2\n")
    assert set(track.gaze) == ({5} if frame is None else {5, frame})
    assert track.row_faults == ({"no_frame_number": 1} if frame is None else {})


def test_a_row_with_more_cells_than_the_header_is_malformed(tmp_path):
    # Decimal commas between commas would put each angle into its neighbour's column.
    track = read(tmp_path, "frame,azimuth,elevation\n1,2,3\n2,-1,5,2,25\n3,4,5,\n")
    assert set(track.gaze) == {1, 3}
    assert track.row_faults == {"malformed": 1}


@pytest.mark.parametrize(
    ("worn", "blink", "fault"),
    [("1", "", ""), ("Yes", "no", ""), ("TRUE", "0", ""), ("", "nan", ""), ("1.0", "False", ""), ("255", "-1", ""),
     ("No", "", "not_worn"), ("false", "", "not_worn"), ("0.0", "", "not_worn"), ("n", "", "not_worn"),
     ("1", "yes", "blink"), ("1", "True", "blink"), ("1", "17", "blink"),
     ("perhaps", "", "worn_or_blink_not_readable"), ("1", "b17", "worn_or_blink_not_readable")],
)  # fmt: skip
def test_worn_and_blink_are_read_in_words_and_numbers(tmp_path, worn, blink, fault):
    track = read(tmp_path, f"{HEADER}\n0,1,,,1,,5,5\n0,2,,,{worn},{blink},5,5\n")
    assert track.fault(2) == fault


def test_columns_can_be_named(tmp_path):
    track = read(tmp_path, "f;az;el\n1;2;3\n", frame=("f",), azimuth=("az",), elevation=("el",))
    assert track.gaze[1].elevation_deg == 3


def table(turned=(1, 1), noise=0.0, pixels=True):
    rng = np.random.default_rng(0)
    lines = [HEADER]
    for frame in range(60):
        az, el = rng.uniform(-20, 20, 2)
        x, y = 544 + 13 * az + noise * rng.normal(), 540 - 13 * el + noise * rng.normal()
        px = f"{x},{y}" if pixels else ","
        lines.append(f"0,{frame},{px},1,,{turned[0] * az},{turned[1] * el}")
    return "\n".join(lines)


def test_signs_as_documented_raise_no_warning(tmp_path):
    check = check_signs(read(tmp_path, table()))
    assert check.factors == (1, 1)
    assert check.warnings == ()
    assert check.correlations[0] > 0.99
    assert check.correlations[1] < -0.99


@pytest.mark.parametrize(("turned", "name"), [((-1, 1), "azimuth"), ((1, -1), "elevation")])
def test_the_scene_pixels_correct_a_flipped_sign_with_a_warning(tmp_path, turned, name):
    track = read(tmp_path, table(turned))
    check = check_signs(track)
    assert check.factors == turned
    (warning,) = check.warnings
    assert warning.startswith(f"{name} > 0 should be")
    assert "the sign is turned" in warning
    kept = check_signs(track, trust_pixels=False)
    assert kept.factors == (1, 1)
    assert "the documented sign is kept" in kept.warnings[0]


@pytest.mark.parametrize("options", [{"pixels": False}, {"noise": 1e5}])
def test_undecidable_signs_are_kept_with_a_warning(tmp_path, options):
    check = check_signs(read(tmp_path, table((1, -1), **options)))
    assert check.factors == (1, 1)
    assert len(check.warnings) == 2
    assert "not verified" in check.warnings[1]
