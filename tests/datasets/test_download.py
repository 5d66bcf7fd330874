"""Downloads against a server on this machine that breaks off, lies, or cannot resume."""

import dataclasses
import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lectorium.datasets import DownloadError, _download as download

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under names that say how it misbehaves."""

    ranges: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        how = self.path.strip("/")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if how == "missing":
            return self.send_error(404)
        if how == "silent":
            return self.connection.close()
        content = b"x" * len(CONTENT) if how == "wrong" else CONTENT
        if how == "norange":
            start = 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        resumed = bool(asked) and how != "norange"
        self.send_response(206 if resumed else 200)
        if resumed:
            place = start + 7 if how == "misplaced" else start
            self.send_header("Content-Range", f"bytes {place}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = min(len(content), start + 200_000) if how == "breaks" else len(content)
        if how == "stops" and not asked:
            end = 1000
        self.wfile.write(content[start:end])


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.ranges = []
        thread = threading.Thread(target=functools.partial(running.serve_forever, poll_interval=0.01))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def remote(server: Server, *how: str, digest: str = DIGEST) -> download.Remote:
    base = f"http://127.0.0.1:{server.server_port}"
    return download.Remote("data.bin", tuple(f"{base}/{name}" for name in how), digest)


def test_a_file_is_downloaded_and_no_part_file_is_left(server: Server, tmp_path: Path) -> None:
    path = download.fetch(remote(server, "good"), tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert [file.name for file in path.parent.iterdir()] == ["data.bin"]


def test_a_file_that_is_there_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    download.fetch(remote(server, "good"), tmp_path)
    assert server.ranges == []


def test_a_damaged_file_that_is_there_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1])
    assert download.fetch(remote(server, "good"), tmp_path).read_bytes() == CONTENT


def test_a_part_file_is_resumed_from_where_it_ends(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:123_456])
    assert download.fetch(remote(server, "good"), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=123456-"]


def test_a_connection_that_breaks_off_is_resumed_on_the_same_mirror(server: Server, tmp_path: Path) -> None:
    assert download.fetch(remote(server, "breaks"), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=200000-", "bytes=400000-"]


def test_another_mirror_goes_on_where_the_first_one_broke_off(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:10])
    assert download.fetch(remote(server, "silent", "good"), tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=10-"


def test_a_server_that_cannot_resume_starts_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:5000])
    assert download.fetch(remote(server, "norange"), tmp_path).read_bytes() == CONTENT


def test_a_server_that_resumes_at_the_wrong_place_is_asked_for_everything(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:5000])
    assert download.fetch(remote(server, "misplaced"), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-", None]


def test_a_part_file_of_another_version_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"?" * 5000)
    assert download.fetch(remote(server, "good"), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-", None]


def test_a_part_file_that_is_complete_needs_only_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert download.fetch(remote(server, "good"), tmp_path).read_bytes() == CONTENT


def test_a_part_file_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
    assert download.fetch(remote(server, "good"), tmp_path).read_bytes() == CONTENT


def test_mirrors_are_tried_in_turn(server: Server, tmp_path: Path) -> None:
    chosen = remote(server, "missing", "wrong", "silent", "good")
    assert download.fetch(chosen, tmp_path).read_bytes() == CONTENT


def test_wrong_content_never_gets_the_name_of_the_file_and_both_digests_are_told(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError) as error:
        download.fetch(remote(server, "missing", "wrong"), tmp_path)
    text = str(error.value)
    assert "data.bin" in text
    assert "/missing: HTTP 404" in text
    assert DIGEST.split(":")[1] in text
    assert hashlib.sha256(b"x" * len(CONTENT)).hexdigest() in text
    assert "root=" in text
    assert "LECTORIUM_DATA" in text
    assert list(tmp_path.iterdir()) == []


def test_what_has_arrived_is_kept_when_every_mirror_fails(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    with pytest.raises(DownloadError, match="broken off after 1000 of 512000 bytes"):
        download.fetch(remote(server, "stops"), tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1000]
    assert download.fetch(remote(server, "good"), tmp_path).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=1000-"


def test_md5_digests_are_checked_too(server: Server, tmp_path: Path) -> None:
    right = "md5:" + hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert download.fetch(remote(server, "good", digest=right), tmp_path).is_file()
    (tmp_path / "data.bin").unlink()
    with pytest.raises(DownloadError, match="expected md5 00000000000000000000000000000000"):
        download.fetch(remote(server, "good", digest="md5:" + "0" * 32), tmp_path)


def test_a_machine_without_a_network_gets_the_way_out(tmp_path: Path) -> None:
    nobody = download.Remote("data.bin", ("http://127.0.0.1:9/data.bin",), DIGEST)
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9(.|\n)*LECTORIUM_DATA"):
        download.fetch(nobody, tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"cannot write to .*file.*LECTORIUM_CACHE"):
        download.fetch(remote(server, "good"), tmp_path / "file" / "inner")


def test_a_full_disk_is_told_as_such_and_not_blamed_on_the_mirror(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "replace", full)
    with pytest.raises(DownloadError, match="No space left on device"):
        download.fetch(remote(server, "good"), tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock: the last download wins there")
def test_a_second_download_of_the_same_file_does_not_touch_the_first_ones_part(
    server: Server, tmp_path: Path
) -> None:
    part = tmp_path / "data.bin.part"
    part.write_bytes(b"somebody else's")
    holder = (
        "import fcntl,sys; f=open(sys.argv[1],'ab'); fcntl.flock(f,fcntl.LOCK_EX); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert download.fetch(remote(server, "good"), tmp_path).read_bytes() == CONTENT
        assert part.read_bytes() == b"somebody else's"
        process.communicate(b"\n")
    assert sorted(os.listdir(tmp_path)) == ["data.bin", "data.bin.part"]


def test_the_digest_may_be_of_what_is_in_the_file(server: Server, tmp_path: Path) -> None:
    def content(path: Path) -> list[bytes]:
        if path.read_bytes()[:1] == b"x":
            raise ValueError("not an archive")
        return [path.read_bytes()[:1], path.read_bytes()[1:1000]]

    digest = "sha256:" + hashlib.sha256(CONTENT[:1000]).hexdigest()
    good, wrong, both = (
        dataclasses.replace(remote(server, *names, digest=digest), content=content)
        for names in (["good"], ["wrong"], ["wrong", "good"])
    )
    assert download.fetch(both, tmp_path).read_bytes() == CONTENT
    asked = len(server.ranges)
    assert download.fetch(good, tmp_path).is_file()
    assert len(server.ranges) == asked
    (tmp_path / "data.bin").unlink()
    with pytest.raises(DownloadError, match=r"wrong content: .*, got damaged \(not an archive\)"):
        download.fetch(wrong, tmp_path)
