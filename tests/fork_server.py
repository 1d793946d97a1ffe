"""Runs ``python -m MODULE`` in a fork of a process that has imported torch; see processes.py.

To import torch and what trains and exports with it takes seconds of each process. mnistzoo and the
plugins are imported after the fork: for them the process is as fresh as any other.

stdin is a socket. A request is a JSON object, with the files that become stdout and stderr; the
answers are the number of the new process, and once it ended its exit code.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import socket
import sys
from typing import Any

# Not onnxruntime: it starts threads, which no fork has.
_IMPORTED = ("torch._dynamo", "torch.onnx._internal.exporter", "onnx", "onnxscript")


def serve() -> dict[str, Any]:
    """Start a process for each request, and return its request there; the server never returns."""
    with socket.socket(fileno=os.dup(0)) as requests:
        while True:
            message, files, _, _ = socket.recv_fds(requests, 1 << 20, 2)
            if not message:
                sys.exit()  # pytest ended
            number = os.fork()
            if number == 0:
                break
            for file in files:
                os.close(file)
            requests.send(str(number).encode())
            _, status = os.waitpid(number, 0)
            requests.send(str(os.waitstatus_to_exitcode(status)).encode())
    os.setsid()  # as processes.started does
    for target, file in enumerate((os.open(os.devnull, os.O_RDONLY), *files)):
        os.dup2(file, target)
        os.close(file)
    return json.loads(message)


def become(request: dict[str, Any]) -> None:
    """Take over what Python and torch take from the environment and the command line."""
    environment = request["env"]
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(request["cwd"])
    here = [] if environment.get("PYTHONSAFEPATH") else [os.getcwd()]
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*here, *filter(None, given), *sys.path[1:]]
    sys.argv[1:] = request["arguments"]
    if streams := environment.get("PYTHONIOENCODING"):
        encoding, _, errors = streams.partition(":")
        sys.stdout.reconfigure(encoding=encoding, errors=errors or "strict")  # type: ignore[union-attr]
        sys.stderr.reconfigure(encoding=encoding)  # type: ignore[union-attr]
    if threads := environment.get("OMP_NUM_THREADS"):
        sys.modules["torch"].set_num_threads(int(threads))


def run(module: str) -> None:
    """Run a module and end as Python does, but leave the imported modules to the system.

    To take them apart would take a third of a second, more than most commands do.
    """
    code = 1  # of an exception

    @atexit.register  # before others, hence called after them
    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
        raise


if __name__ == "__main__":
    importlib.import_module("torch")
    for name in _IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(ImportError):
        import onnx_table

        onnx_table.keep()
        onnx_table.make()
    gc.freeze()
    request = serve()
    become(request)
    run(request["module"])
