"""The drawing page as plain files, for any static host: its models run in the browser."""

import base64
import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mnistzoo.errors import MnistzooError
from mnistzoo.files import expanded, publish, temporary_folder
from mnistzoo.web.models import Models
from mnistzoo.web.page import STATIC, examples

# onnxruntime-web as npm has it; where a new version is taken, its hashes are taken too.
RUNTIME = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist"
_MODULE, _WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_INTEGRITY = {
    _MODULE: "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
    _WASM: "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
}
_HERE = ("localhost", "127.0.0.1")  # a content security policy cannot name ::1
_POLICY = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self' {elsewhere}; base-uri 'none'; form-action 'none'"
)


class SiteError(MnistzooError):
    """The page cannot be written as files."""


def write_site(folder: str | os.PathLike[str], models: Models, runtime: str = RUNTIME) -> None:
    """Write the page, whole or not at all.

    Args:
        folder: a new one, or an empty one.
        models: those that are chosen are written.
        runtime: the address of a folder with the pinned onnxruntime-web, ``https://`` unless it is
            on this machine; or a folder here with any version of it
            (``node_modules/onnxruntime-web/dist``), which is copied.

    Raises:
        SiteError: if the folder holds something, or the runtime's has not its files, or its address
            is not encrypted.
        MnistzooError: if a model cannot be exported.
        OSError: if something cannot be read or written.
    """
    folder = expanded(folder)
    if _is_address(runtime):
        runtime = runtime.rstrip("/")
        _require_safe(runtime)
    if folder.exists() and any(folder.iterdir()):
        raise SiteError(f"{folder} is not empty; name a new folder")
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.absolute().parent, ".mnistzoo-site-") as beside:
        site = beside / "site"
        site.mkdir()
        _write_page(site, runtime)
        facts = {"models": _write_models(site, models), "runtime": _runtime(site, runtime)}
        (site / "models.json").write_text(json.dumps(facts, indent=1), "utf-8")
        if folder.exists():
            folder.rmdir()
        publish(site, folder)


def _write_page(site: Path, runtime: str) -> None:
    for path in STATIC.iterdir():
        if path.name not in ("backend.js", "backend-static.js", "openapi.json"):
            shutil.copyfile(path, site / path.name)
    shutil.copyfile(STATIC / "backend-static.js", site / "backend.js")
    (site / "examples-idx3-ubyte").write_bytes(examples())
    policy = _POLICY.format(elsewhere=f"{runtime}/" if _is_address(runtime) else "").strip()
    charset = '<meta charset="utf-8">'
    page = (STATIC / "index.html").read_text("utf-8")
    guarded = f'{charset}\n    <meta http-equiv="Content-Security-Policy" content="{policy}">'
    (site / "index.html").write_text(page.replace(charset, guarded), "utf-8")


def _write_models(site: Path, models: Models) -> list[dict[str, Any]]:
    (site / "models").mkdir()
    written = []
    chosen = [facts for facts in models.to_dict() if facts["chosen"]]
    for number, facts in enumerate(chosen):
        predictor = models.get(facts["name"]).result()
        content = predictor.content
        file = f"models/{number}.onnx"  # a name may hold what no file name or address may
        (site / file).write_bytes(content)
        facts |= {"ready": False, "file": file, "integrity": _integrity(content)}
        written.append(facts | dataclasses.asdict(predictor.reader.calibration))
    return written


def _runtime(site: Path, runtime: str) -> dict[str, dict[str, str]]:
    found = {}
    for kind, name in (("module", _MODULE), ("wasm", _WASM)):
        if _is_address(runtime):
            address, integrity = f"{runtime}/{name}", _INTEGRITY[name]
        else:
            source = expanded(runtime) / name
            if not source.is_file():
                raise SiteError(
                    f"{runtime} holds no {name}; `npm install onnxruntime-web` puts it into "
                    "node_modules/onnxruntime-web/dist"
                )
            address = f"runtime/{name}"
            (site / "runtime").mkdir(exist_ok=True)
            shutil.copyfile(source, site / address)
            integrity = _integrity(source.read_bytes())
        found[kind] = {"address": address, "integrity": integrity}
    return found


def _is_address(runtime: str) -> bool:
    return runtime.startswith(("https://", "http://"))


def _require_safe(runtime: str) -> None:
    """Refuse an address that a page under ``https://`` cannot load from."""
    if runtime.startswith("http://") and urlsplit(runtime).hostname not in _HERE:
        raise SiteError(f"{runtime} is not encrypted; take an address that begins with https://")


def _integrity(content: bytes) -> str:
    """Return the hash as a browser compares it (W3C Subresource Integrity)."""
    return f"sha384-{base64.b64encode(hashlib.sha384(content).digest()).decode()}"
