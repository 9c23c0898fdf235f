"""An export in an object store: a real S3 API on the loopback interface.

The server has an environment of its own, `.venv-s3`, which `make quick` makes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.fs as pafs
import pytest

from operations.commands.sql import command
from operations.exporting.manifest import COMPLETE
from operations.exporting.places import Place, PlaceFailed, place_of
from operations.exporting.verifying import verify
from operations.exporting.views import complete_of
from tests.exporting import ExportedFlow, Killed, KilledPlace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SERVER = Path(__file__).parents[2] / ".venv-s3" / "bin" / "moto_server"
BUCKET = "sales-lake"

pytestmark = pytest.mark.skipif(not SERVER.exists(), reason="no .venv-s3: run `make quick`")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an S3 API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [SERVER, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> pafs.S3FileSystem:
    """Credentials in the environment, an empty bucket, and a client that looks into it."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", f"http://{endpoint}"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    client = pafs.S3FileSystem(
        endpoint_override=endpoint, scheme="http", region="us-east-1", allow_bucket_creation=True
    )
    client.create_dir(BUCKET)
    client.delete_dir_contents(BUCKET)
    return client


def keys(s3: pafs.S3FileSystem, below: str) -> set[str]:
    """All objects with bytes, also those that are written aside."""
    selector = pafs.FileSelector(f"{BUCKET}/{below}", recursive=True)
    return {one.path.removeprefix(f"{BUCKET}/") for one in s3.get_file_info(selector) if one.size}


def rows_of(place: Place) -> dict[str, Any]:
    """The sums and the vector of an export."""
    complete = complete_of(place)
    return {"vector": complete.vector, **complete.datasets}


async def test_exports_in_a_bucket(
    tmp_path: Path, s3: pafs.S3FileSystem, endpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Incremental, proven, and queried; the same rows as in a directory. No other object is left.

    The endpoint is named by the environment or in the URI.
    """
    one = ExportedFlow(tmp_path)
    place = place_of(f"s3://{BUCKET}/exports")
    assert not place.is_local
    await one.take(300).export(place)
    await one.take().export(place)
    await one.export()
    assert rows_of(place) == rows_of(one.place)
    by_uri = f"s3://{BUCKET}/exports?endpoint_override={endpoint}&scheme=http&region=us-east-1"
    assert verify(place_of(by_uri), lambda _: None).equal
    files = {f"exports/{file.path}" for file in complete_of(place).files}
    assert keys(s3, "exports") == files | {f"exports/{COMPLETE}"}
    command("SELECT count(*) AS n FROM entries", f"s3://{BUCKET}/exports")
    counted = capsys.readouterr().out.split()
    assert counted == ["n", str(complete_of(place).datasets["entries"].rows)]


async def test_killed_on_the_way_to_a_bucket(tmp_path: Path, s3: pafs.S3FileSystem) -> None:
    """Readers see the last export, whole, until the next one is; the next run completes it."""
    one = ExportedFlow(tmp_path, events=60)
    place = place_of(f"s3://{BUCKET}/killed")
    await one.take(30).export(place)
    first = rows_of(place)
    one.take()
    await one.export()
    kills = 0
    for at in range(1, 200, 9):
        try:
            await one.export(KilledPlace(place, at))
        except Killed:
            kills += 1
            complete = complete_of(place)
            place.require(complete.files)
            assert rows_of(place) in (first, rows_of(one.place))
        else:
            break
    assert kills > 3
    await one.export(place)
    assert rows_of(place) == rows_of(one.place)
    assert verify(place, lambda _: None).equal
    assert keys(s3, "killed") == {
        f"killed/{COMPLETE}", *[f"killed/{file.path}" for file in complete_of(place).files]
    }  # fmt: skip


async def test_what_a_store_refuses_is_one_sentence(
    tmp_path: Path,
    s3: pafs.S3FileSystem,  # noqa: ARG001 - a store that is there
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bucket that is missing, and an endpoint where nothing listens: with the remedy."""
    one = ExportedFlow(tmp_path).take(50)
    with pytest.raises(PlaceFailed, match=r"NO_SUCH_BUCKET.*: create the bucket"):
        await one.export(place_of("s3://no-such-bucket/exports"))
    nobody = "s3://sales-lake/exports?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1"
    with pytest.raises(PlaceFailed, match=r"NETWORK_CONNECTION.*is the endpoint right"):
        verify(place_of(nobody), lambda _: None)
    place = place_of(f"s3://{BUCKET}/refused")
    await one.export(place)

    def refuse(*_: object) -> None:
        raise OSError("AWS Error ACCESS_DENIED during PutObject operation: Access Denied\nmore")

    monkeypatch.setattr(Place, "_sync", refuse)
    with pytest.raises(PlaceFailed, match=r"ACCESS_DENIED.*grant these credentials") as error:
        await one.take().export(place)
    assert "\n" not in str(error.value)
