import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gaze_core.artifacts import (
    ArtifactRef,
    Manifest,
    Produced,
    content_sha256,
    file_sha256,
    files_in,
    lineage_digest,
    only_entry,
    references,
    trained_on,
)
from gaze_core.config import Config, Runtime
from gaze_core.errors import ContractViolation, MissingArtifact


class Settings(Config):
    num_steps: int = 3


def ref(content: str = "a", **changes: object) -> ArtifactRef:
    values = {
        "kind": "checkpoint",
        "name": f"mesh_head/{16 * '0'}-{16 * content}",
        "sha256": content * 64,
        "stage": "mesh_head",
    }
    return ArtifactRef.model_validate({**values, "stage_version": 1, "config_digest": "c", **changes})


def manifest(reference: ArtifactRef, **changes: object) -> Manifest:
    values = {"ref": reference, "files": {}, "parents": {}, "config": {}, "created": datetime.now(UTC)}
    return Manifest.model_validate({**values, **changes})


def test_a_reference_is_identified_by_content_not_location() -> None:
    moved = ref(name=f"mesh_head/{16 * '1'}-{16 * 'a'}", mlflow_run_id="123")
    assert moved.digest() == ref().digest() == "a" * 12
    assert ref("b").digest() != ref().digest()


def test_file_digest_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_content_depends_on_names_and_bytes_but_not_on_order() -> None:
    one, two = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    assert content_sha256({"x": one, "y": two}) == content_sha256({"y": two, "x": one})
    assert content_sha256({"x": one, "y": two}) != content_sha256({"x": two, "y": one})


def test_lineage_changes_with_each_thing_that_can_change_the_result() -> None:
    base = lineage_digest("fit", 1, Settings(), {"data": ref()})
    assert lineage_digest("fit", 1, Settings(), {"data": ref(uri="file:///moved"), "head": None}) == base
    others = {
        lineage_digest("other", 1, Settings(), {"data": ref()}),
        lineage_digest("fit", 2, Settings(), {"data": ref()}),
        lineage_digest("fit", 1, Settings(num_steps=4), {"data": ref()}),
        lineage_digest("fit", 1, Settings(), {"data": ref("b")}),
        lineage_digest("fit", 1, Settings(), {"head": ref()}),
        lineage_digest("fit", 1, Settings(), {"data": [ref()]}),
    }
    assert len(others | {base}) == 7


@pytest.mark.parametrize("value", [1.5, Path("/data"), {"a": ref()}, "text", [ref(), 3]])
def test_an_input_without_a_digest_is_refused_by_name(value: object) -> None:
    with pytest.raises(ContractViolation, match="input 'data"):
        lineage_digest("fit", 1, Settings(), {"data": value})  # type: ignore[dict-item]


def test_references_name_the_items_of_a_sequence() -> None:
    found = dict(references({"data": ref("a"), "heads": [ref("b"), ref("c")], "config": Runtime(), "none": None}))
    assert {name: value.sha256[0] for name, value in found.items()} == {
        "data": "a",
        "heads.0": "b",
        "heads.1": "c",
    }


def test_training_subjects_add_up_over_checkpoints_and_ignore_the_splits_of_data() -> None:
    data = manifest(ref(kind="dataset"), subjects={"train": ("s1",), "test": ("s9",)})
    head = manifest(ref("b"), trained_on=("s1", "s2"))
    checkpoint = Produced("checkpoint", {}, subjects={"train": ("s3", "s1"), "test": ("s9",)})
    assert trained_on(checkpoint, [data, head]) == ("s1", "s2", "s3")
    assert trained_on(Produced("dataset", {}, subjects={"train": ("s3",)}), []) == ()


def test_manifest_round_trip(tmp_path: Path) -> None:
    written = manifest(ref(), dropped={"empty_head_mask": 17}, metrics={"loss": 0.5}, parents={"data": ref("b")})
    (tmp_path / "manifest.json").write_text(written.model_dump_json())
    assert Manifest.read(tmp_path) == written


@pytest.mark.parametrize("text", [None, "", "{", '{"ref": 1}'])
def test_no_manifest_or_half_a_manifest_is_a_missing_artifact(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(MissingArtifact):
        Manifest.read(tmp_path)


def test_files_in_a_folder_by_relative_name(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.h5").touch()
    (tmp_path / "a.json").touch()
    assert list(files_in(tmp_path)) == ["a.json", "sub/b.h5"]


def test_a_reference_that_holds_an_address_is_read_by_its_last_two_parts() -> None:
    now = ref()
    old = {key: value for key, value in now.model_dump().items() if key != "name"}
    for root in ("file:///home/me/my%20store", "s3://bucket/prefix", "s3://bucket"):
        assert ArtifactRef.model_validate(old | {"uri": f"{root}/{now.name}"}) == now
    # An imported model lay wherever its user had put it: its name is made of what it is.
    imported = [ArtifactRef.model_validate(old | {"uri": f"file:///home/{name}/official"}) for name in ("me", "you")]
    assert imported[0] == imported[1]
    assert imported[0].name.endswith(f"-{'a' * 16}")
    assert "uri" not in now.model_dump()


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "mesh_head/../x", "mesh_head/x", "", "mesh_head/"])
def test_a_reference_names_nothing_outside_a_store(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        ref(name=name)


def test_the_only_entry_is_a_file_or_a_folder_and_hidden_files_do_not_count(tmp_path):
    (tmp_path / "manifest.json").touch()
    (tmp_path / ".DS_Store").touch()
    with pytest.raises(ContractViolation, match="found 0"):
        only_entry(tmp_path)
    (tmp_path / "frames").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "frames" / name).touch()
    assert only_entry(tmp_path) == tmp_path / "frames"
    (tmp_path / "c.png").touch()
    with pytest.raises(ContractViolation, match="found 2: c.png, frames"):
        only_entry(tmp_path)
