"""Load on the server of ``mnistzoo draw``: is every answer right, and does its memory stay?

Run ``python benchmarks/draw_load.py``. Eight clients send 10,000 pictures over loopback; then 200
send one each at the same moment, more than may wait. Every answer is compared with what
``Predictor`` says of the picture, and a 503 must say when to come again. Needs Linux's /proc.
"""

import argparse
import http.client
import io
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from mnistzoo import Predictor, load_dataset
from mnistzoo.registry import get_registration
from mnistzoo.web.models import cached_path, offered

_PICTURES = 100
_CLIENTS = 8
_AT_ONCE = 200


@dataclass(frozen=True)
class Answered:
    """What came back: HTTP status, whether it is right, seconds, Retry-After."""

    status: int
    right: bool
    seconds: float
    retry_after: str | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="lenet5")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--waiting", type=int, default=64)
    arguments = parser.parse_args()
    pictures, digits = sheets(arguments.model)
    command = [sys.executable, "-m", "mnistzoo", "draw", arguments.model, "--no-open"]
    command += ["--port", "0", "--waiting", str(arguments.waiting)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[2]
        try:
            wrong = steady(address, pictures, digits, arguments.requests, server.pid)
            wrong += crowd(address, pictures, digits)
        finally:
            server.terminate()
        print(f"SIGTERM: exit code {server.wait()}")
    sys.exit(1 if wrong or server.returncode else 0)


def sheets(model: str) -> tuple[list[bytes], list[int]]:
    """Return drawings, digits of the test set on white sheets, and what the model says of each."""
    offered([model]).get(model).result()  # in the cache by then
    predictor = Predictor(cached_path(get_registration(model)))
    pictures, digits = [], []
    for image in load_dataset("mnist-10k").test.images[:_PICTURES]:
        sheet = Image.fromarray(255 - np.pad(image, 6)).resize((280, 280), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        sheet.save(stream, "PNG")
        pictures.append(stream.getvalue())
        digits.append(predictor.predict(pictures[-1]).digit)
    return pictures, digits


def steady(address: str, pictures: list[bytes], digits: list[int], requests: int, pid: int) -> int:
    """Send requests from a few clients; print rates and memory; return how many went wrong."""
    memory: list[float] = []
    done = 0
    lock = threading.Lock()

    def client(first: int) -> list[Answered]:
        nonlocal done
        connection = connected(address)
        answers = []
        for number in range(first, requests, _CLIENTS):
            answers.append(ask(connection, pictures, digits, number))
            with lock:
                done += 1
                if done % (requests // 20) == 0:
                    memory.append(resident(pid))
        return answers

    started = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        answers = [each for some in clients.map(client, range(_CLIENTS)) for each in some]
    seconds = time.perf_counter() - started
    times = sorted(1000 * each.seconds for each in answers)
    wrong = sum(not each.right for each in answers)
    print(
        f"{len(answers):,} requests of {_CLIENTS} clients in {seconds:.1f} s, "
        f"{len(answers) / seconds:.0f} a second; median {statistics.median(times):.1f} ms, "
        f"99th percentile {times[int(0.99 * len(times))]:.1f} ms"
    )
    print(f"statuses {dict(Counter(each.status for each in answers))}; wrong answers {wrong}")
    print("memory, MiB:", *(f"{megabytes:.1f}" for megabytes in memory))
    return wrong


def crowd(address: str, pictures: list[bytes], digits: list[int]) -> int:
    """Send one request from each of many clients at once; return how many answers are wrong."""
    barrier = threading.Barrier(_AT_ONCE)

    def client(number: int) -> Answered:
        connection = connected(address)
        connection.connect()
        barrier.wait()
        return ask(connection, pictures, digits, number)

    with ThreadPoolExecutor(_AT_ONCE) as clients:
        answers = list(clients.map(client, range(_AT_ONCE)))
    refused = [each for each in answers if each.status == 503]
    wrong = sum(each.status == 200 and not each.right for each in answers)
    wrong += sum(each.status not in (200, 503) for each in answers)
    wrong += sum(each.retry_after is None for each in refused)
    statuses = dict(Counter(each.status for each in answers))
    print(f"{_AT_ONCE} at once: statuses {statuses}; wrong answers {wrong}")
    after = ask(connected(address), pictures, digits, 0)
    print(f"afterwards: {after.status}")
    return wrong + (not after.right)


def resident(pid: int) -> float:
    """Return how much memory of a process is resident, in MiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as lines:
        kilobytes = next(line.split()[1] for line in lines if line.startswith("VmRSS"))
    return int(kilobytes) / 1024


def connected(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)


def ask(
    connection: http.client.HTTPConnection, pictures: list[bytes], digits: list[int], number: int
) -> Answered:
    """Send a picture."""
    place = number % len(pictures)
    started = time.perf_counter()
    connection.request("POST", "/api/predict", pictures[place])
    response = connection.getresponse()
    said = json.loads(response.read())
    seconds = time.perf_counter() - started
    right = response.status == 200 and said["predictions"][0]["digit"] == digits[place]
    return Answered(response.status, right, seconds, response.getheader("Retry-After"))


if __name__ == "__main__":
    main()
