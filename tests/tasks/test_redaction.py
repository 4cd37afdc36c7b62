import pytest

from gaze_core.errors import BadInput
from tasks.redaction import redacted, require_no_credentials

SECRETS = ("canary", "55word", "ca@nary", "c#n?ry")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://gaze:canary@db/mlflow", "postgresql://***@db/mlflow"),
        ("postgresql://u:pa/55word@db", "postgresql://***@db"),
        ("postgresql://u:ca@nary@db:5432/x", "postgresql://***@db:5432/x"),
        ("mysql+pymysql://u:c#n?ry@db/x", "mysql+pymysql://***@db/x"),
        ("https://canary@host/path", "https://***@host/path"),
        ("postgresql://db/x?user=u&password=canary&sslmode=on", "postgresql://db/x?user=u&password=***&sslmode=on"),
        ("postgresql:///x?sslPassword=canary", "postgresql:///x?sslPassword=***"),
        ("http://host/a?X-Amz-Signature=canary&b=1", "http://host/a?X-Amz-Signature=***&b=1"),
    ],
)
def test_credentials_in_an_address_are_blanked_and_refused(address: str, shown: str) -> None:
    assert redacted(f"no connection to {address} now") == f"no connection to {shown} now"
    with pytest.raises(BadInput, match="X holds a user name or password") as raised:
        require_no_credentials(address, "X", "set Y")
    assert not any(secret in str(raised.value) for secret in SECRETS)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:4200/api", "file:///home/me@work/store", "s3://bucket/a@b/c:d@e", "sqlite:////a/mlflow.db",
        "http://host/a?page=2", "mail me@here.org",
    ],
)  # fmt: skip
def test_other_addresses_stay_as_they_are(address: str) -> None:
    assert redacted(address) == address
    require_no_credentials(address, "X", "")
