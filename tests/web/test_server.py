"""The server of the drawing page, asked over HTTP as any program would ask it."""

import contextlib
import dataclasses
import hashlib
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import processes
import pytest
import requests
import uvicorn
from documents import ROOT
from drawing import serving, write_linear_model
from PIL import Image

import mnistzoo
from mnistzoo import ModelSpec, Predictor, Weights
from mnistzoo.cli import main
from mnistzoo.registry import ModelError, get_registration
from mnistzoo.web.models import Models, Offer, cached_path, offered
from mnistzoo.web.page import STATIC, examples
from mnistzoo.web.server import create_app, listen

SEVEN = (ROOT / "docs" / "seven.png").read_bytes()
LIMIT = 60  # seconds, of every wait


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_linear_model(
        tmp_path_factory.mktemp("model") / "linear.onnx",
        metadata={"exported_with": "mnistzoo", "temperature": "2", "threshold": "0.9"},
    )


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[str]:
    with serving(str(model)) as (address, _):
        yield address


def ask(address: str, method: str = "POST", **options: Any) -> requests.Response:
    return requests.request(method, address, timeout=LIMIT, **options)


def picture(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def two_noughts() -> bytes:
    """A sheet with two noughts, far from each other."""
    pixels = np.full((200, 400), 255, np.uint8)
    y, x = np.mgrid[:200, :400]
    for middle in (100, 300):
        radius = np.hypot((x - middle) / 0.7, y - 100)
        pixels[(radius > 50) & (radius < 66)] = 0
    return picture(pixels)


def test_answers_what_a_predictor_answers(server: str, model: Path) -> None:
    expected = mnistzoo.Predictor(model).predict(io.BytesIO(SEVEN).getvalue())
    assert 0.7 < expected.confidence < 0.9 and expected.doubt == "the model is unsure"
    said = ask(f"{server}api/predict", data=SEVEN).json()
    assert said["image"] == expected.image.ravel().tolist()
    assert said["box"] == list(expected.box)
    assert said["digits"] == 1
    (prediction,) = said["predictions"]
    assert prediction["model"] == "linear"
    assert prediction["text"] == str(expected.digit)
    assert prediction["latency_us"] > 0
    for name in ("digit", "confidence", "runner_up", "doubt"):
        assert prediction[name] == getattr(expected, name)
    assert prediction["probabilities"] == list(expected.probabilities)


def test_a_picture_may_show_several_digits_but_a_drawing_one(server: str) -> None:
    several = ask(f"{server}api/predict", data=two_noughts()).json()
    assert several["digits"] == 2
    assert several["predictions"][0]["text"] == "00"
    assert len(several["predictions"][0]["doubts"]) == 2
    one = ask(f"{server}api/predict?drawing=true", data=two_noughts()).json()
    assert one["digits"] == 1
    assert one["predictions"][0]["doubt"] == "it is wider than any digit is"
    assert one["predictions"][0]["doubts"] == ["it is wider than any digit is"]


def test_lists_the_models_on_offer(server: str) -> None:
    ask(f"{server}api/predict", data=SEVEN)  # loaded by then
    (listed,) = ask(f"{server}api/models", "GET").json()["models"]
    assert listed["name"] == "linear"
    assert listed["chosen"] and listed["ready"]
    assert ask(f"{server}api/models/linear").json() == {"ready": True}


@pytest.mark.parametrize(
    ("path", "options", "status", "said"),
    [
        ("api/predict", {"data": b""}, 400, "no body"),
        ("api/predict", {"data": b"no picture"}, 422, "cannot be read as a picture"),
        ("api/predict", {"data": picture(np.zeros((50, 50), np.uint8))}, 422, "blank"),
        ("api/predict?model=linea", {"data": SEVEN}, 404, "did you mean 'linear'"),
        ("api/models/linea", {}, 404, "did you mean 'linear'"),
        ("api/predict", {"data": bytes(10 * 2**20 + 1)}, 413, "over 10 MB"),
        ("api/predict?drawing=yes", {"data": SEVEN}, 400, "true or false, not 'yes'"),
        ("api/predict", {"method": "GET"}, 405, "/api/predict does not take GET"),
        ("api/nothing", {"method": "GET"}, 404, "there is no /api/nothing"),
        ("api/models", {"method": "GET", "headers": {"Host": "evil.example"}}, 403, "this name"),
        ("api/predict", {"data": SEVEN, "headers": {"Origin": "null"}}, 403, "another web page"),
        (
            "api/predict",
            {"data": SEVEN, "headers": {"Origin": "http://127.0.0.1:1"}},
            403,
            "another web page",
        ),
    ],
)
def test_refuses_in_one_sentence(
    server: str, path: str, options: dict[str, Any], status: int, said: str
) -> None:
    answer = ask(server + path, **options)
    assert answer.status_code == status
    (sentence,) = answer.json().values()
    assert said in sentence
    assert "\n" not in sentence
    assert ask(f"{server}api/predict", data=SEVEN).ok


def test_takes_its_own_page_for_its_own(server: str) -> None:
    own = {"Origin": server.rstrip("/")}
    assert ask(f"{server}api/predict", data=SEVEN, headers=own).ok


def test_the_page_loads_nothing_from_elsewhere(server: str) -> None:
    page = ask(server, "GET")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy
    for path in STATIC.iterdir():
        text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        if path.name != "openapi.json":
            assert not re.search(r"""["'(]\s*(https?:)?//[\w.]+/""", text), path
        assert ask(server + path.name, "GET").content == path.read_bytes()


def test_the_openapi_document_describes_what_is_answered(server: str) -> None:
    document = ask(f"{server}openapi.json", "GET").json()
    schemas = document["components"]["schemas"]
    answer = ask(f"{server}api/predict", data=SEVEN).json()
    (model,) = ask(f"{server}api/models", "GET").json()["models"]
    described = {"Answer": answer, "Prediction": answer["predictions"][0], "Model": model}
    for name, found in described.items():
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]) == set(found)
    for path, methods in document["paths"].items():
        for method, described_here in methods.items():
            assert ask(server + path[1:], method, data=SEVEN).status_code in (200, 404)
            assert {"200", "403", "405"} <= set(described_here["responses"])
        for method in {"GET", "POST", "PUT"} - {each.upper() for each in methods}:
            refused = ask(server + path[1:], method, data=SEVEN)
            assert refused.status_code == 405
            allowed = set(refused.headers["Allow"].split(", ")) - {"HEAD"}
            assert allowed == {each.upper() for each in methods}


def test_a_file_of_the_page_is_only_got(server: str) -> None:
    refused = ask(f"{server}app.js", "POST")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_a_slow_client_holds_nobody_up_and_ends_with_the_server(model: Path) -> None:
    with serving(str(model), "--waiting", "1") as (address, process):
        host, port = address.split("/")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=LIMIT) as slow:
            head = f"POST /api/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n"
            slow.sendall(head.encode() + b"the beginning")
            assert all(ask(f"{address}api/predict", data=SEVEN).ok for _ in range(3))
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_many_slow_clients_with_large_pictures_fill_no_memory(model: Path) -> None:
    large, most = 9 * 2**20, 10 * 2**20
    with serving(str(model)) as (address, process), contextlib.ExitStack() as stack:
        assert ask(f"{address}api/predict", data=SEVEN).ok
        before = most_memory(process.pid)
        host, port = address.split("/")[2].split(":")
        head = f"POST /api/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {most}\r\n\r\n"
        slow = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=LIMIT))
            for _ in range(24)
        ]
        for each in slow:
            each.sendall(head.encode() + bytes(large))
        answers = []
        for each in slow:
            each.sendall(bytes(most - large))
            answer = http.client.HTTPResponse(each)
            answer.begin()
            answers.append(answer)
        assert {each.status for each in answers} == {422, 503}
        assert all(int(each.headers["Retry-After"]) > 0 for each in answers if each.status == 503)
        assert most_memory(process.pid) - before < 120 * 2**20  # of 216 that were sent
        assert all(ask(f"{address}api/predict", data=SEVEN).ok for _ in range(3))


def most_memory(pid: int) -> int:
    """Return how many bytes a process has held at once so far."""
    (line,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024


def test_a_model_that_is_being_exported_holds_up_no_other(model: Path) -> None:
    asked, exported = threading.Event(), threading.Event()

    def cold() -> Predictor:
        asked.set()
        assert exported.wait(LIMIT)
        return Predictor(model)

    offers = [
        Offer("cold", "", None, None, cold),
        Offer("warm", "", None, None, lambda: Predictor(model)),
    ]
    listening = listen("127.0.0.1", 0)
    predict = f"http://127.0.0.1:{listening.getsockname()[1]}/api/predict?model="
    app = create_app(Models(offers, []), waiting=1)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical"))
    with ThreadPoolExecutor(2) as threads, listening:
        ended = threads.submit(server.run, [listening])
        try:
            late = threads.submit(ask, f"{predict}cold", data=SEVEN)
            assert asked.wait(LIMIT)
            assert all(ask(f"{predict}warm", data=SEVEN).ok for _ in range(3))
            exported.set()
            assert late.result(LIMIT).ok
        finally:
            exported.set()
            server.should_exit = True
            ended.result(LIMIT)


def test_an_answer_waits_for_no_acknowledgement() -> None:
    with listen("127.0.0.1", 0) as listening:
        with socket.create_connection(listening.getsockname(), timeout=LIMIT):
            accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_examples_are_read_once() -> None:
    assert examples() is examples()


def test_too_many_at_once_are_told_to_come_again(model: Path) -> None:
    expected = str(mnistzoo.Predictor(model).predict(SEVEN).digit)
    with serving(str(model), "--waiting", "2") as (address, _), ThreadPoolExecutor(30) as clients:
        assert ask(f"{address}api/predict", data=SEVEN).ok
        asked = [
            clients.submit(ask, f"{address}api/predict", data=two_noughts() if i % 2 else SEVEN)
            for i in range(120)
        ]
        answers = [each.result(LIMIT) for each in asked]
        assert {each.status_code for each in answers} == {200, 503}
        for i, each in enumerate(answers):
            if each.ok:
                assert each.json()["predictions"][0]["text"] == ("00" if i % 2 else expected)
            else:
                assert int(each.headers["Retry-After"]) > 0
        assert ask(f"{address}api/predict", data=SEVEN).ok


def test_a_model_is_exported_once_into_the_cache(
    register: Callable[..., None],
    linear_spec: Callable[..., ModelSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MNISTZOO_CACHE_DIR", str(tmp_path))
    register(linear_spec("ones"))
    written = []
    for _ in range(2):
        futures = [offered(["ones"]).get("ones") for _ in range(2)]
        assert all(each.result(LIMIT).predict(SEVEN).digit == 1 for each in futures)
        (file,) = (tmp_path / "onnx").iterdir()
        written.append(file.stat().st_mtime_ns)
    assert written[0] == written[1]
    registration = get_registration("ones")
    assert registration.spec.weights is not None
    weights = dataclasses.replace(registration.spec.weights, temperature=2.0, threshold=0.2)
    spec = dataclasses.replace(registration.spec, weights=weights)
    other = dataclasses.replace(registration, spec=spec)
    assert cached_path(registration) == file != cached_path(other)
    file.write_bytes(b"damaged")
    assert offered(["ones"]).get("ones").result(LIMIT).predict(SEVEN).digit == 1


class Votes:
    """A model that is not a torch module."""

    def logits(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.zeros((len(images), 10), np.float32)


def test_all_that_ship_weights_and_can_be_exported_are_on_offer(
    register: Callable[..., None],
    linear_spec: Callable[..., ModelSpec],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "with_a_file.py").touch()
    (tmp_path / "net.onnx").write_bytes(model.read_bytes())
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    weights = Weights(file="net.onnx", sha256=sha256, metrics={}, measured="not at all")
    specs = [
        linear_spec("ones"),
        linear_spec("not_trained_here", recipes={}),
        linear_spec("merged", recipes={}, weights=None, members=("ones",)),
        linear_spec("a_file", recipes={}, weights=weights, factory="with_a_file"),
        linear_spec("untrained", weights=None),
        linear_spec("odd", expected_failures={"onnx": "it is odd"}),
        linear_spec("random", stochastic=True),
    ]
    register(*specs)
    on_offer = [spec.name for spec in specs if spec.name in offered([]).offers]
    assert on_offer == ["ones", "not_trained_here", "merged", "a_file"]
    for name, why in (
        ("untrained", "it ships no weights"),
        ("odd", "it is odd"),
        ("random", "it draws random numbers"),
    ):
        with pytest.raises(ModelError, match=f"cannot offer model '{name}': {why}"):
            offered([name])
    assert offered(["a_file"]).get("a_file").result(LIMIT).predict(SEVEN)


def test_a_model_that_turns_out_to_be_no_module_is_refused_at_the_start(
    register: Callable[..., None], linear_spec: Callable[..., ModelSpec]
) -> None:
    register(linear_spec("votes", recipes={}, factory=f"{__name__}:Votes"))
    with pytest.raises(ModelError, match="'votes': it is a Votes, and the exporter follows torch"):
        offered(["votes"])


@pytest.fixture(scope="module")
def letters(model: Path) -> Path:
    """The model with other names for its ten classes."""
    named = onnx.load(model)
    onnx.helper.set_model_props(named, {"labels": json.dumps(list("abcdefghij"))})
    onnx.save(named, path := model.with_name("letters.onnx"))
    return path


def test_a_model_of_other_classes_than_the_digits_is_not_on_offer(
    letters: Path, model: Path, tmp_path: Path
) -> None:
    told = "is for 10 classes .a, b, ..., j., and the page is for the digits 0 to 9"
    with pytest.raises(ModelError, match=told):
        offered([str(model), str(letters)])
    with pytest.raises(SystemExit) as left:
        main(["draw", str(letters), "--static", str(tmp_path / "site")])
    assert left.value.code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_could_not_be_loaded_is_tried_again(model: Path) -> None:
    failures = [OSError("the disk is full")]

    def load() -> Predictor:
        if failures:
            raise failures.pop()
        return Predictor(model)

    models = Models([Offer("late", "", None, None, load)], [])
    assert "disk is full" in str(models.get("late").exception(LIMIT))
    assert models.get("late").result(LIMIT).predict(SEVEN)


def test_says_what_is_wrong_before_it_serves(
    run_cli: Callable[..., subprocess.CompletedProcess[str]], model: Path, server: str
) -> None:
    weights = run_cli("draw", "runs/my own.safetensors", "--no-open")
    assert weights.returncode == 1
    assert "`mnistzoo export MODEL --weights 'runs/my own.safetensors'`" in weights.stderr
    port = server.rstrip("/").rpartition(":")[2]
    taken = run_cli("draw", str(model), "--no-open", "--port", port)
    assert taken.returncode == 1
    assert taken.stderr.count("\n") == 1 and "--port 0 takes a free one" in taken.stderr
    unknown = run_cli("draw", "nothing", "--no-open")
    assert unknown.returncode == 2 and "there is no model 'nothing'" in unknown.stderr
    lost = run_cli("draw", "lost.onnx", "--no-open")
    assert lost.returncode == 1 and "lost.onnx: No such file" in lost.stderr
    twice = run_cli("draw", str(model), str(model), "--no-open")
    assert twice.returncode == 1 and "two models would be called 'linear'" in twice.stderr
    none = run_cli("draw", "--no-open")
    assert none.returncode == 1 and "no installed model ships weights" in none.stderr


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_says_what_to_install(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from mnistzoo.cli import main; main(['draw', '--no-open', '--port', '0', 'x.onnx'])"
    )
    done = processes.run([sys.executable, "-c", code])
    assert done.returncode == 1
    assert done.stderr == (
        f"mnistzoo: the page needs {package}; `pip install starlette uvicorn` installs what it "
        "needs\n"
    )


def test_mnistzoo_imports_neither() -> None:
    code = "import json, sys, mnistzoo; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(processes.run([sys.executable, "-c", code], check=True).stdout)
    assert "mnistzoo" in loaded
    assert not {"starlette", "uvicorn", "anyio"} & set(loaded)
