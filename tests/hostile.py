# ruff: noqa: E501 (a line a kind, for the eye)
"""Plugins and models that do harm, on purpose or by accident, and what becomes of a comparison.

``python tests/hostile.py`` installs each beside two sound models, in turn, and prints a table: does
`compare` still say what the sound ones can do, in valid JSON, and why the other has no figures?
``--python`` names the interpreter of another environment, such as one with another mnistzoo.
"""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from processes import run

FINE = ""  # what it does is its own affair, and its row has an accuracy
UNLOADED = None  # the plugin fails to load, which is said; it has no row

SOUND = ("sound_a", "sound_b")
ACCURACY = 0.1135  # of models that take every image for a one


@dataclass(frozen=True)
class Kind:
    """A plugin that does harm.

    Attributes:
        error: a pattern of what its row says; ``FINE`` or ``UNLOADED``.
        at_import: a piece of its package's code; so are the next two, where they say.
        in_factory: before the model is made.
        in_forward: before the logits are computed.
        logits: how they are computed from ``images``.
        spec: changes of its ModelSpec, as keywords.
        register: instead of the registration of one model.
    """

    error: str | None
    at_import: str = ""
    in_factory: str = ""
    in_forward: str = ""
    logits: str = "nn.Sequential.forward(self, images)"
    spec: str = ""
    register: str = "register(linear(NAME, {spec}))"


def forward(error: str, code: str) -> Kind:
    return Kind(error, in_forward=code)


def factory(error: str, code: str) -> Kind:
    return Kind(error, in_factory=code)


def at_import(error: str | None, code: str) -> Kind:
    return Kind(error, at_import=code)


def gives(error: str, logits: str) -> Kind:
    return Kind(error, logits=logits)


ENDED = "its process ended by itself, with exit code"
KILLED = "its process was ended by"
SLOW = "it made no progress for"
KINDS: Mapping[str, Kind] = {
    # It ends its process.
    "exit_in_factory": factory(f"{ENDED} 0", "os._exit(0)"),
    "exit_in_forward": forward(f"{ENDED} 0", "os._exit(0)"),
    "exit_3_in_forward": forward(f"{ENDED} 3", "os._exit(3)"),
    "exit_says_why": forward(f"{ENDED} 4; it printed last: no ink", "os.write(2, b'no ink\\n'); os._exit(4)"),
    "exit_when_collected": forward(f"{ENDED} 5", "Leaving()"),
    "exit_at_import": at_import(UNLOADED, "os._exit(0)"),
    "exit_7_at_exit": at_import(FINE, "atexit.register(os._exit, 7)"),
    "segfault_in_factory": factory(f"{KILLED} SIGSEGV", "ctypes.string_at(0)"),
    "segfault_in_forward": forward(f"{KILLED} SIGSEGV", "ctypes.string_at(0)"),
    "segfault_at_import": at_import(UNLOADED, "ctypes.string_at(0)"),
    "stack_overflow": forward(f"{KILLED} SIGSEGV", "sys.setrecursionlimit(10**9); overflow = lambda: [*map(lambda _: overflow(), [0])]; overflow()"),
    "abort": forward(f"{KILLED} SIGABRT", "os.abort()"),
    "alarm": forward(f"{KILLED} SIGALRM", "signal.alarm(1); time.sleep(60)"),
    "kills_its_group": forward(f"{KILLED} SIGTERM", "os.kill(0, signal.SIGTERM); time.sleep(60)"),
    "kills_itself": forward(f"{KILLED} SIGKILL", "os.kill(os.getpid(), signal.SIGKILL)"),
    "ends_by_signal_40": forward(f"{KILLED} signal 40", "os.kill(os.getpid(), 40)"),
    "ends_the_server": forward("has ended; try again", "os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)"),
    "stops_the_server": forward(FINE, "os.kill(os.getppid(), signal.SIGSTOP)"),
    # It raises what others let through.
    "exits_politely": factory("SystemExit: 0", "sys.exit(0)"),
    "exits_in_eval": factory("SystemExit", "Net.eval = lambda self: sys.exit(0)"),
    "interrupts_in_factory": factory("KeyboardInterrupt", "raise KeyboardInterrupt"),
    "interrupts_in_forward": forward("KeyboardInterrupt", "raise KeyboardInterrupt"),
    "interrupts_at_import": at_import(UNLOADED, "raise KeyboardInterrupt"),
    "interrupts_from_a_thread": forward("KeyboardInterrupt", "_thread.interrupt_main(); time.sleep(5)"),
    "raises_generator_exit": forward("GeneratorExit", "raise GeneratorExit"),
    "raises_stop_iteration": forward("StopIteration", "raise StopIteration"),
    "raises_without_text": forward("its text cannot be shown", "raise Mute"),
    "raises_ten_megabytes": forward("RuntimeError: xxx", "raise RuntimeError('x' * 10**7)"),
    "raises_escapes": forward(r"RuntimeError: \?\[2J mnistzoo: forged", "raise RuntimeError('\\x1b[2J\\nmnistzoo: forged')"),
    # It takes too much.
    "sleeps_in_forward": forward(SLOW, "time.sleep(10**6)"),
    "sleeps_in_factory": factory(SLOW, "time.sleep(10**6)"),
    "loops_deaf_to_signals": forward(SLOW, "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\n        while True: pass"),
    "loops_at_import": at_import(UNLOADED, "while True: pass"),
    "takes_all_memory": forward("MemoryError", "self.kept = [bytearray(2**26) for _ in range(10**5)]"),
    "asks_for_a_terabyte": forward("MemoryError", "bytearray(2**40)"),
    "asks_torch_for_a_terabyte": forward("allocate memory", "torch.ones(2**38)"),
    "burns_a_core": at_import(FINE, "threading.Thread(target=burn, daemon=True).start()"),
    "starts_a_lasting_thread": at_import(FINE, "threading.Thread(target=time.sleep, args=(10**6,)).start()"),
    "starts_a_process": factory(FINE, "subprocess.Popen(['sleep', MARK])"),
    "starts_a_daemon": factory(FINE, "subprocess.Popen(['sleep', MARK], start_new_session=True)"),
    "forks": factory(FINE, "os.fork() or (time.sleep(10**6), os._exit(0))"),
    "prints_a_hundred_megabytes": forward(FINE, "getattr(self, 'said', 0) or os.write(1, b'x' * 10**8); self.said = 1"),
    # It changes what is shared.
    "default_dtype": at_import(".", "import torch; torch.set_default_dtype(torch.float64)"),
    "default_dtype_in_factory": factory(".", "torch.set_default_dtype(torch.float64)"),
    "default_device": factory(".", "torch.set_default_device('meta')"),
    "autocast": forward("returns torch.bfloat16", "torch.autocast('cpu', torch.bfloat16).__enter__()"),
    "no_gradients": forward(FINE, "torch.set_grad_enabled(False)"),
    "threads": forward(FINE, "torch.set_num_threads(3)"),
    "seeds": forward(FINE, "torch.manual_seed(1); random.seed(1); np.random.seed(1)"),
    "global_hook": factory(FINE, "nn.modules.module.register_module_forward_hook(lambda m, i, o: o * 0 + 1)"),
    "patches_linear": factory(FINE, "linear = F.linear; F.linear = lambda *a: linear(*a) * 0 + torch.arange(10.)"),
    "patches_numpy": at_import(FINE, "import numpy; numpy.argmax = numpy.bincount = None"),
    "patches_a_neighbour": at_import(FINE, "import sound_a.model; sound_a.model.linear = None"),
    "patches_json": factory(ENDED, "json.dumps = json.loads = None"),
    "patches_len": factory(".", "import builtins; builtins.len = lambda each: 3"),
    "patches_the_zoo": at_import(FINE, "import mnistzoo.plugins, mnistzoo.errors; mnistzoo.errors.reason = None"),
    "stops_the_clock": factory(SLOW, "time.perf_counter = lambda: 0.0"),
    "turns_the_clock_back": factory(".", "ticks = iter(range(10**9, 0, -1)); time.perf_counter = lambda: float(next(ticks))"),
    "no_torch": at_import(".", "sys.modules['torch'] = None"),
    "no_recursion": at_import(FINE, "sys.setrecursionlimit(60)"),
    "warnings_are_errors": at_import(FINE, "import warnings; warnings.simplefilter('error')"),
    "another_folder": at_import(FINE, "os.chdir('/')"),
    "no_environment": at_import(FINE, "os.environ.clear()"),
    "no_collector": at_import(FINE, "import gc; gc.disable()"),
    "traces": at_import(FINE, "sys.settrace(lambda *_: None)"),
    "logs": at_import(FINE, "import logging; logging.disable(); logging.basicConfig(force=True)"),
    # It talks where others listen.
    "prints": forward(FINE, "print('{}', flush=True)"),
    "prints_by_descriptor": forward(FINE, "os.write(1, b'{}')"),
    "prints_at_import": at_import(FINE, "print('{}')"),
    "closes_stdout": forward(FINE, "sys.stdout.close()"),
    "replaces_stdout": at_import(FINE, "sys.stdout = sys.stderr = None"),
    "closes_all_files": forward("it closed its connection|ended by itself", "os.closerange(0, 1000)"),
    "answers_garbage": forward("is no message|bytes of facts", "[suppressed(os.write, file, b'\\0' * 6 + b'\\xff' * 100) for file in range(3, 50)]"),
    "tells_a_huge_figure": factory("answered with no buffers", "import mnistzoo.measuring as measuring; measuring.count_buffers = lambda model: 10**400"),
    "tells_nan": factory("is no message", "dumps = json.dumps; json.dumps = lambda each, **_: dumps(each).replace('\"provenance\": null', '\"provenance\": NaN')"),
    "tells_a_bad_calibration": factory("answered with no provenance or calibration", "dumps = json.dumps; json.dumps = lambda each, **_: dumps(each).replace('\"calibration\": null', '\"calibration\": {\"heat\": 1}')"),
    "tells_signs_for_ever": forward("more signs of progress", "while True: channel().send({'alive': True})"),
    "tells_byte_by_byte": forward(SLOW, "channel().connection.send(bytes([0, 0, 0, 0, 0, 1, 0, 0]))\n        while True: time.sleep(0.1); channel().connection.send(bytes(1))"),
    "reads_stdin": forward("EOFError", "input()"),
    "looks_for_labels": forward(FINE, "hasattr(self, 'looked') or looks_for_labels(); self.looked = 1"),
    # It answers something else than logits.
    "float64": gives("returns torch.float64, expected torch.float32", "super().forward(images).double()"),
    "integers": gives("returns torch.int64", "super().forward(images).long()"),
    "complex": gives("returns torch.complex64", "super().forward(images) + 0j"),
    "a_tuple": gives("returns tuple, expected one tensor", "(super().forward(images), None)"),
    "nothing": gives("returns NoneType", "None"),
    "a_text": gives("returns str", "'seven'"),
    "nine_logits": gives(r"shape \(5, 9\), expected \(5, 10\)", "super().forward(images)[:, :9]"),
    "a_flat_row": gives(r"shape \(50,\)", "super().forward(images).flatten()"),
    "nan": gives("NaN or infinite", "super().forward(images) * torch.nan"),
    "infinity": gives("NaN or infinite", "super().forward(images) + torch.inf"),
    "probabilities": gives("returns probabilities", "super().forward(images).softmax(1)"),
    "changes_its_input": gives("changes the images", "super().forward(images.zero_())"),
    "batch_mates": gives("differ by up to .* alone", "super().forward(images) + images.mean() * torch.arange(10.0)"),
    "random_logits": gives("the second time", "super().forward(images) + torch.rand(len(images), 10)"),
    "turns_after_a_while": gives("the timed calls gave other logits", "count(self) * super().forward(images)"),
    # Its declaration is wrong.
    "wrong_count": Kind("declares 7,840 parameters but has 7,850", spec="num_params=7840"),
    "wrong_checksum": Kind("has SHA-256", spec="weights=Weights(file='linear.safetensors', sha256='0' * 64, metrics={}, measured='')"),
    "absent_weights": Kind("absent.safetensors", spec="weights=Weights(file='absent.safetensors', sha256='0' * 64, metrics={}, measured='')"),
    "absent_member": Kind("there is no model 'absent'", spec="members=('absent',), recipes={}, weights=None"),
    "absent_factory": Kind("absent", spec="factory=__name__ + '.absent:linear'"),
    "returns_no_module": factory("returns str, expected torch.nn.Module", "return 'model'"),
    "asynchronous": Kind(UNLOADED, register="pass\nregister_models = hookimpl(asynchronous)"),
    "numpy_metrics": Kind(UNLOADED, at_import="import numpy", spec="weights=Weights(file='x.safetensors', sha256='0' * 64, metrics={'a': numpy.float32(1)}, measured='')"),
    "registers_a_thousand": Kind(UNLOADED, register="[register(linear(f'thousand{n}')) for n in range(1000)]; raise RuntimeError"),
}  # fmt: skip

_PLUGIN = """\
import _thread, atexit, ctypes, hashlib, os, sys, threading, time
from mnistzoo import ModelSpec, Recipe, Weights, hookimpl

NAME = {name!r}

def burn():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # without the interpreter's lock

async def asynchronous(register):
    pass

def linear(name, **changes):
    recipe = Recipe(epochs=1, batch_size=64, optimizer="adam", learning_rate=0.001)
    weights = Weights(
        file="linear.safetensors",
        sha256={sha256!r},
        metrics={{"test_accuracy": 0.1135}},
        measured="by counting the ones: it takes every image for a one",
    )
    declared = dict(
        name=name,
        summary="Softmax regression",
        factory=__name__ + ".model:linear",
        num_params=7850,
        recipes={{"default": recipe}},
        weights=weights,
    )
    return ModelSpec(**declared | changes)

{at_import}

@hookimpl
def register_models(register):
    {register}
"""

_MODEL = """\
import _thread, ctypes, gc, json, os, random, signal, subprocess, sys, threading, time
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MARK = {mark!r}


class Mute(Exception):
    def __str__(self):
        raise RuntimeError


class Leaving:
    def __del__(self):
        os._exit(5)


def suppressed(function, *arguments):
    try:
        return function(*arguments)
    except OSError:
        pass


def channel():
    return next(each for each in gc.get_objects() if type(each).__name__ == "Channel")


def count(model):
    model.calls = getattr(model, "calls", 0) + 1
    return model.calls <= 150


def looks_for_labels():
    for each in gc.get_objects():
        for value in (each, *(vars(each).values() if hasattr(each, "__dict__") else ())):
            if isinstance(value, np.ndarray | torch.Tensor) and tuple(value.shape) == (10000,):
                raise RuntimeError("here are the labels")


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, images):
        {in_forward}
        return {logits}


def linear():
    {in_factory}
    return Net()
"""


def install(site: Path, names: Iterable[str], weights: Path, mark: str = "1000003") -> None:
    """Install the sound models and these kinds into a folder of distributions."""
    digest = sha256(weights.read_bytes()).hexdigest()
    for name in (*SOUND, *names):
        kind = KINDS.get(name, Kind(FINE))
        package, metadata = site / name, site / f"{name}-1.0.dist-info"
        package.mkdir(parents=True)
        metadata.mkdir()
        shutil.copy(weights, package / "linear.safetensors")
        (package / "__init__.py").write_text(
            _PLUGIN.format(
                name=name,
                sha256=digest,
                at_import=kind.at_import,
                register=kind.register.replace("{spec}", kind.spec),
            )
        )
        (package / "model.py").write_text(
            _MODEL.format(
                mark=mark,
                in_forward=kind.in_forward or "pass",
                in_factory=kind.in_factory or "pass",
                logits=kind.logits,
            )
        )
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[mnistzoo]\nplugin = {name}\n")


def faults(name: str, rows: Mapping[str, Any]) -> str:
    """Return what is wrong with the row of a kind; empty if nothing is."""
    kind, row = KINDS[name], rows.get(name)
    if kind.error is UNLOADED:
        return "it has a row" if row else ""
    if row is None:
        return "it has no row"
    if kind.error == FINE:
        return "" if row["error"] is None and row["accuracy"] is not None else str(row["error"])
    if not row["error"] or not re.search(kind.error, row["error"]):
        return f"its row says {row['error']}"
    return "its reason is long" if len(row["error"]) > 20_000 else ""


def write_weights(path: Path) -> Path:
    import safetensors.torch
    import torch

    bias = torch.zeros(10)
    bias[1] = 1
    safetensors.torch.save_file({"1.weight": torch.zeros(10, 784), "1.bias": bias}, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help="all without")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--options", default="", help="of compare, in one word")
    chosen = parser.parse_args()
    held = 0
    with tempfile.TemporaryDirectory() as folder:
        weights = write_weights(Path(folder, "linear.safetensors"))
        for number, name in enumerate(chosen.kinds or KINDS):
            site = Path(folder, str(number))
            install(site, [name], weights)
            words = ["-m", "mnistzoo", "compare", "--dataset", "mnist-10k", "--json", "-"]
            done = run(
                [chosen.python, *words, *chosen.options.split()],
                limit=90,
                env=os.environ
                | {"PYTHONPATH": str(site), "MNISTZOO_PLUGINS": f"{','.join(SOUND)},{name}"},
                cwd=folder,
            )
            told = _told(name, done.returncode, done.stdout)
            held += told == "held"
            print(f"| {name} | {told} |", flush=True)
    print(f"{held} of {number + 1} held")


def _told(name: str, code: int, out: str) -> str:
    try:
        rows = {row["name"]: row for row in json.loads(out)["models"]}
    except ValueError:
        return f"no valid JSON, exit code {code}"
    for sound in SOUND:
        if rows.get(sound, {}).get("accuracy") != ACCURACY or rows[sound]["error"]:
            row = rows.get(sound, {})
            return f"{sound} has {row.get('accuracy')}, {row.get('error')}"[:200]
    if code not in (0, 1):
        return f"exit code {code}"
    return faults(name, rows)[:200] or "held"


if __name__ == "__main__":
    main()
