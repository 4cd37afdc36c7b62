import io
import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from gaze_core.artifacts import ArtifactRef, Manifest, Produced, files_in, lineage_digest
from gaze_core.config import Config
from gaze_core.errors import BadInput, ContractViolation, MissingArtifact
from tasks.store.address import local_path
from tasks.store.artifacts import Store
from tasks.store.disk import LocalDisk
from tests.flows.cli.test_main import gazeworks


class Settings(Config):
    num_steps: int = 3


@pytest.fixture
def produced(tmp_path: Path) -> Produced:
    files = {"weights.bin": tmp_path / "w", "sub/stats.json": tmp_path / "s"}
    files["weights.bin"].write_bytes(bytes(range(256)))
    files["sub/stats.json"].write_text("{}")
    return Produced("checkpoint", files, {"loss": 0.5}, {"blink": 2}, subjects={"train": ("s1",)})


def publish(store: Store, produced: Produced, **parents: ArtifactRef) -> ArtifactRef:
    return store.publish(produced, stage="fit", version=2, config=Settings(), parents=parents)


def overwrite(store: Store, ref: ArtifactRef, name: str, content: bytes | None) -> None:
    """Changes or removes a stored file directly, on disk or in the bucket."""
    parts = urlsplit(store.uri(ref))
    if parts.scheme == "s3":
        client, key = boto3.client("s3"), f"{parts.path.strip('/')}/{name}"
        client.delete_object(Bucket=parts.netloc, Key=key)
        if content is not None:
            client.put_object(Bucket=parts.netloc, Key=key, Body=content)
        shutil.rmtree(store.cache_dir, ignore_errors=True)
        return
    path = local_path(store.uri(ref)) / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def test_a_published_artifact_is_fetched(store: Store, produced: Produced) -> None:
    ref = publish(store, produced)
    folder = store.fetch(ref)
    assert (folder / "weights.bin").read_bytes() == bytes(range(256))
    assert (folder / "sub" / "stats.json").read_text() == "{}"
    manifest = Manifest.read(folder)
    assert manifest == store.manifest(ref)
    assert (manifest.ref, manifest.config, manifest.metrics) == (ref, {"num_steps": 3}, {"loss": 0.5})
    assert (manifest.dropped, manifest.trained_on) == ({"blink": 2}, ("s1",))
    assert ref.config_digest == Settings().digest()


def test_the_lineage_is_recorded(store: Store, produced: Produced, tmp_path: Path) -> None:
    parent = publish(store, produced)
    (tmp_path / "child").write_text("child")
    child = publish(store, Produced("report", {"report.json": tmp_path / "child"}), head=parent)
    assert store.manifest(child).parents == {"head": parent}
    assert store.manifest(child).trained_on == ("s1",)


def test_publishing_the_same_again_changes_nothing(store: Store, produced: Produced) -> None:
    first = publish(store, produced)
    created = store.manifest(first).created
    assert publish(store, produced) == first
    assert store.manifest(first).created == created


@pytest.mark.parametrize("content", [None, b"other"])
def test_a_lost_or_changed_file_is_reported_and_repaired_by_publishing(
    store: Store, produced: Produced, content: bytes | None
) -> None:
    ref = publish(store, produced)
    overwrite(store, ref, "weights.bin", content)
    with pytest.raises(MissingArtifact, match=r"weights\.bin .*run the fit stage again"):
        store.fetch(ref)
    assert not store.exists(ref)
    assert store.find("fit", lineage_digest("fit", 2, Settings(), {})) is None
    assert store.exists(publish(store, produced))


@pytest.mark.parametrize("content", [None, b"{", b'{"ref": {}}'])
def test_without_its_manifest_an_artifact_does_not_exist(
    store: Store, produced: Produced, content: bytes | None
) -> None:
    ref = publish(store, produced)
    overwrite(store, ref, "manifest.json", content)
    with pytest.raises(MissingArtifact, match="manifest"):
        store.fetch(ref)
    assert store.find("fit", lineage_digest("fit", 2, Settings(), {})) is None


def test_find_returns_the_newest_result_of_one_computation(store: Store, produced: Produced) -> None:
    lineage = lineage_digest("fit", 2, Settings(), {})
    assert store.find("fit", lineage) is None
    publish(store, produced)
    produced.files["weights.bin"].write_bytes(b"a second result, for a GPU is not bit-exact")
    second = publish(store, produced)
    assert store.find("fit", lineage) == second
    assert store.find("fit", "0" * 16) is None


def test_a_crash_before_the_manifest_leaves_nothing_visible(
    store: Store, produced: Produced, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    backend: Any = store.backend
    with monkeypatch.context() as patch:
        # The last step before the artifact counts: the rename on a disk, the manifest's upload in a bucket.
        if isinstance(backend, LocalDisk):
            patch.setattr(Path, "rename", die)
        else:
            patch.setattr(backend.client, "put_object", die)
        with pytest.raises(Killed):
            publish(store, produced)
    assert store.find("fit", lineage_digest("fit", 2, Settings(), {})) is None
    ref = publish(store, produced)
    assert store.exists(ref)
    if isinstance(backend, LocalDisk):  # what the killed attempt left is gone, too
        assert len(os.listdir(store.fetch(ref).parent)) == 1


def test_a_crash_while_files_travel_to_a_bucket_leaves_no_manifest(
    bucket: Store, produced: Produced, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(bucket.backend.client, "upload_file", die)
        with pytest.raises(Killed):
            publish(bucket, produced)
    assert boto3.client("s3").list_objects_v2(Bucket="gaze")["KeyCount"] == 0


@pytest.mark.parametrize("changed", ["sha256", "files"])
def test_a_manifest_of_another_content_is_refused(store: Store, produced: Produced, changed: str) -> None:
    """Manifest and content are checked separately: the files match their manifest."""
    ref = publish(store, produced)
    manifest = json.loads(store.manifest(ref).model_dump_json())
    if changed == "files":  # of which one less is named
        del manifest["files"]["sub/stats.json"]
    else:
        manifest["ref"]["sha256"] = "0" * 64
    overwrite(store, ref, "manifest.json", json.dumps(manifest).encode())
    with pytest.raises(MissingArtifact, match="the manifest is of another content"):
        store.fetch(ref)
    assert not store.exists(ref)


def test_only_what_the_manifest_names_is_handed_out(store: Store, produced: Produced) -> None:
    ref = publish(store, produced)
    folder = store.fetch(ref)
    unexpected_files = [folder / ".DS_Store", folder / "sub" / "more.h5", folder / "__MACOSX" / "._weights.bin"]
    for path in unexpected_files:
        path.parent.mkdir(exist_ok=True)
        path.write_text("stranger")
    (folder / "empty").mkdir()
    for _ in range(2):
        seen = store.fetch(ref)
        assert set(files_in(seen)) == {"manifest.json", "weights.bin", "sub/stats.json"}
        assert {path.name for path in seen.iterdir()} == {"manifest.json", "weights.bin", "sub"}
        assert (seen / "weights.bin").read_bytes() == bytes(range(256))
    if isinstance(store.backend, LocalDisk):  # the store is the user's: what others put there stays
        assert all(path.is_file() for path in unexpected_files)
        overwrite(store, ref, "weights.bin", b"rotten")
        assert not store.exists(ref)


def test_an_artifact_is_gone_from_the_first_step_of_its_deletion_on(bucket: Store, produced: Produced) -> None:
    before_it_in_the_alphabet = {f"a{number}": produced.files["weights.bin"] for number in range(20)}
    ref = publish(bucket, Produced("checkpoint", before_it_in_the_alphabet))
    deleted: list[str] = []

    def die(params: dict[str, Any], **_: object) -> None:
        deleted.append(params["Key"])
        if len(deleted) > 1:
            raise BadInput("the network is gone")

    bucket.backend.client.meta.events.register("provide-client-params.s3.DeleteObject", die)
    with pytest.raises(BadInput):
        bucket.backend.delete(bucket.uri(ref))
    assert deleted[0].endswith("manifest.json")
    assert not Store(bucket.root_uri, bucket.cache_dir).exists(ref)


def test_deleting_leaves_nothing_there_and_no_copy_here(store: Store, produced: Produced) -> None:
    ref = publish(store, produced)
    (store.fetch(ref) / ".DS_Store").touch()
    store.fetch(ref)
    store.backend.delete(store.uri(ref))
    assert not store.exists(ref)
    assert list(store.backend.files(store.uri(ref))) == []
    assert [path for path in store.cache_dir.rglob("*") if not path.is_dir()] == []


def test_a_service_that_asks_for_content_md5_can_be_deleted_from(bucket: Store, produced: Produced) -> None:
    ref = publish(bucket, produced)

    def picky(request: Any, **_: object) -> AWSResponse | None:
        if request.method != "POST" or "Content-MD5" in request.headers:
            return None
        body = b"<Error><Code>InvalidRequest</Code><Message>Missing required header: Content-MD5</Message></Error>"
        return AWSResponse(request.url, 400, {}, io.BytesIO(body))

    bucket.backend.client.meta.events.register_first("before-send.s3", picky)
    bucket.backend.delete(bucket.uri(ref))
    assert boto3.client("s3").list_objects_v2(Bucket="gaze")["KeyCount"] == 0


def test_one_artifact_published_by_many_at_once_is_whole(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    (tmp_path / "large").write_bytes(os.urandom(4 * 2**20))
    one = Produced("dataset", {f"part{number}": tmp_path / "large" for number in range(4)})
    with ThreadPoolExecutor(6) as pool:
        refs = list(pool.map(lambda _: publish(Store(store.root_uri, store.cache_dir), one), range(6)))
    assert len(set(refs)) == 1
    folder = store.fetch(refs[0])
    assert os.listdir(folder.parent) == [folder.name]


def test_a_folder_of_an_artifact_becomes_one_of_the_store(store: Store, produced: Produced, tmp_path: Path) -> None:
    elsewhere = Store(str(tmp_path / "elsewhere"), tmp_path / "c")
    ref = publish(elsewhere, produced)
    folder = elsewhere.fetch(ref)
    (folder / ".DS_Store").touch()
    assert not store.exists(ref)
    assert store.adopt(folder) == ref == store.adopt(store.fetch(ref))
    assert set(files_in(store.fetch(ref))) == {"manifest.json", "weights.bin", "sub/stats.json"}
    assert store.manifest(ref) == elsewhere.manifest(ref)
    overwrite(elsewhere, ref, "weights.bin", b"rotten")
    store.backend.delete(store.uri(ref))
    with pytest.raises(MissingArtifact, match="weights.bin has sha256"):
        store.adopt(folder)
    assert not store.exists(ref)


NAMES = [
    "plain",
    "proj#1",
    "what?",
    "what?x=1#2",
    "my store",
    "[v1]",
    "100%",
    "a%23b",
    "50%25",
    "häuser",
    "a:b",
    "semi;x",
]


@pytest.mark.parametrize("as_uri", [False, True, "by hand"])
@pytest.mark.parametrize("name", NAMES)
def test_a_folders_name_is_taken_letter_by_letter(
    produced: Produced, tmp_path: Path, name: str, as_uri: object
) -> None:
    folder = tmp_path / name
    address = folder.as_uri() if as_uri is True else f"file://{folder}" if as_uri else str(folder)
    if as_uri == "by hand" and "%" in name:
        folder = tmp_path / unquote(name)  # that is how an address writes it
    store = Store(address, tmp_path / "cache")
    ref = publish(store, produced)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [folder.name]
    assert store.fetch(ref) == folder / ref.name
    assert store.find("fit", ref.name.split("/")[1].split("-")[0]) == ref
    assert Store(store.root_uri, tmp_path / "cache").root_uri == store.root_uri
    store.backend.delete(store.uri(ref))
    assert not store.exists(ref)


def test_a_folder_may_be_named_from_here_or_from_the_users_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    roots = {Store(text, tmp_path).root_uri for text in ("x/y", "./x/y/", "~/x/y", f"file://localhost{tmp_path}/x/y/")}
    assert roots == {(tmp_path / "x" / "y").as_uri()}


@pytest.mark.parametrize("prefix", ["team#1", "what?x", "my store", "100%", "a%23b", "deep/er"])
def test_a_buckets_prefix_is_taken_letter_by_letter(
    bucket: Store, produced: Produced, tmp_path: Path, prefix: str
) -> None:
    store = Store(f"s3://gaze/{prefix}/", tmp_path / "cache")
    ref = publish(store, produced)
    keys = [row["Key"] for row in boto3.client("s3").list_objects_v2(Bucket="gaze")["Contents"]]
    assert keys == [f"{prefix}/{ref.name}/{name}" for name in ("manifest.json", "sub/stats.json", "weights.bin")]
    assert store.find("fit", ref.name.split("/")[1].split("-")[0]) == ref
    assert (store.fetch(ref) / "weights.bin").is_file()


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/x", "file:/x", "file://store", "file://host/x", "file:", "s3:gaze/x", "s3://", "s3:///x", "s3://ga ze/x",
        "s3://gaze#1", "s3://gaze?x", "s3://gaze/a//b", "s3://gaze/../x", "S3://gaze/x", "", "/", "file:///", "/a\nb",
        "file:///a%00b", "s3://[x/y",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_in_one_line(tmp_path: Path, address: str) -> None:
    with pytest.raises(BadInput, match=r"artifact store .*s3://bucket/prefix; set GAZEWORKS_STORE") as raised:
        Store(address, tmp_path)
    assert "\n" not in str(raised.value)


def test_an_address_that_holds_a_password_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="GAZEWORKS_STORE holds a user name or password") as raised:
        Store("s3://key:geheim@gaze/x", tmp_path)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("name", ["/etc/x", "../x", "manifest.json", ""])
def test_names_that_leave_the_artifact_are_refused(produced: Produced, tmp_path: Path, name: str) -> None:
    bad = Produced("report", {name: produced.files["weights.bin"]})
    with pytest.raises(ContractViolation, match="relative name"):
        publish(Store(tmp_path.as_uri(), tmp_path), bad)


def test_an_empty_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractViolation, match="no file"):
        publish(Store(tmp_path.as_uri(), tmp_path), Produced("report", {}))


def test_a_bucket_that_is_not_there_is_the_users_mistake(produced: Produced, tmp_path: Path, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws(), pytest.raises(BadInput, match="nowhere.*AWS credentials"):
        publish(Store("s3://nowhere/x", tmp_path), produced)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ENDPOINT_URL": "localhost:9000"}, "Invalid endpoint: localhost:9000.*with http://"),
        ({"AWS_ENDPOINT_URL": "http://[x"}, "settings for S3"),
        ({"AWS_PROFILE": "nobody"}, r"profile \(nobody\) could not be found"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "Partial credentials.*AWS_SECRET_ACCESS_KEY"),
        ({"AWS_DEFAULT_REGION": "us east 1"}, "us east 1"),
        ({"AWS_MAX_ATTEMPTS": "0"}, "AWS_MAX_ATTEMPTS is '0'; expected a whole number, at least 1"),
        ({"AWS_MAX_ATTEMPTS": "2.5"}, "AWS_MAX_ATTEMPTS is '2.5'"),
        ({"GAZEWORKS_S3_TIMEOUT_S": "1m"}, "GAZEWORKS_S3_TIMEOUT_S is '1m'; expected seconds"),
        ({"GAZEWORKS_S3_TIMEOUT_S": "nan"}, "GAZEWORKS_S3_TIMEOUT_S is 'nan'"),
        ({"AWS_CONFIG_FILE": "{}/broken"}, "Unable to parse config file"),
        ({"AWS_CONFIG_FILE": "{}/style"}, "addressing style odd"),
        ({"AWS_CONFIG_FILE": "{}/program", "AWS_PROFILE": "p", "AWS_ACCESS_KEY_ID": ""}, "No such file.*program-x"),
        ({"AWS_DEFAULTS_MODE": "odd"}, "defaults mode"),
        # What boto3 looks at only when it asks for something:
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/absent", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x",
          "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "/absent"),
        ({"AWS_ENDPOINT_URL": "ftp://127.0.0.1:9"}, "ftp://127.0.0.1:9"),
    ],
)  # fmt: skip
def test_a_setting_of_s3_that_cannot_be_used_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: Any, said: str
) -> None:
    (tmp_path / "broken").write_text("[default\nregion = x\n")
    (tmp_path / "style").write_text("[default]\ns3 =\n  addressing_style = odd\n")
    (tmp_path / "program").write_text("[profile p]\nregion = us-east-1\ncredential_process = /absent/program-x\n")
    usual = {
        "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true", "GAZEWORKS_STORE": "s3://gaze/x",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }  # fmt: skip
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # which remembers what it has read
    for name, value in (usual | variables).items():
        if value:
            monkeypatch.setenv(name, value.format(tmp_path))
        else:
            monkeypatch.delenv(name, raising=False)
    code, _, err = gazeworks(monkeypatch, capsys, "store", "ls")
    assert (code, len(err.strip().splitlines())) == (2, 1), err
    assert re.search(said, err)
