from gaze_core.splat import benchmark


def test_rows_have_the_documented_keys_and_a_speedup_of_the_same_run(monkeypatch):
    monkeypatch.setattr(benchmark, "SCENES", ((200, 24, (3,)),))
    monkeypatch.setattr(benchmark, "first_call_s", lambda: {"cold": 1.0, "warm": 0.1})
    result = benchmark.run(num_repeats=1)
    rows = result["rows"]
    assert "threads" in result["machine"]
    assert [row["backend"] for row in rows] == ["numba", "reference"]
    keys = {"backend", "gaussians", "size_px", "channels", "forward_ms", "forward_backward_ms", "peak_mb"}
    assert all(keys <= set(row) for row in rows)
    assert rows[1]["speedup"] == 1
    ratio = rows[1]["forward_backward_ms"] / rows[0]["forward_backward_ms"]
    assert abs(rows[0]["speedup"] - ratio) < 0.05 * ratio + 0.01
