"""The package beside the versions and extras that users have: `make matrix`.

One environment with PyTorch and what the package needs is shared; each row lays a few packages over
it and runs a smoke test. Nothing else is installed in a row, so that an import of an extra that is
not declared fails there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ROOT / ".matrix"
# Any other torch brings CUDA packages; the row says what else it changes.
TORCH = "torch==2.13.0"
ROWS: dict[str, tuple[str, list[str]]] = {
    "no extras": ("", []),
    "langchain-core 1.2.20": ("", ["langchain-core==1.2.20"]),
    "langchain-core newest": ("", ["--upgrade", "langchain-core<2"]),
    "sentence-transformers 5.4": ("", ["sentence-transformers==5.4.*"]),
    "sentence-transformers newest": ("", ["--upgrade", "sentence-transformers<7"]),
    **{
        f"[{extra}]": (extra, [])
        for extra in (
            "bm25",
            "dense",
            "cli",
            "eval",
            "ir",
            "plots",
            "files",
            "int8",
            "remote",
            "openvino",
        )
    },
    "[all]": ("all", []),
}

SMOKE = Path(__file__).with_name("smoke.py")


def pip(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pip in an environment, with the torch that every row shares."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", TORCH]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def environment(name: str) -> Path:
    """Return the Python of a new environment."""
    folder = ENVIRONMENTS / "".join(one if one.isalnum() else "-" for one in name)
    venv.create(folder, with_pip=True, clear=True)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def site_packages(python: Path) -> Path:
    """Return where an environment keeps its packages."""
    command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


def row(name: str, extra: str, more: list[str], base: Path) -> dict[str, object]:
    """Return what one row gave."""
    started = time.monotonic()
    python = environment(name)
    (site_packages(python) / "base.pth").write_text(f"{site_packages(base)}\n")
    wanted = [f"{ROOT}[{extra}]" if extra else str(ROOT), *more]
    installed = pip(python, *wanted)
    if installed.returncode:
        return {"row": name, "ok": False, "said": installed.stderr[-400:]}
    run = subprocess.run([str(python), str(SMOKE)], capture_output=True, text=True, check=False)
    said = run.stdout.strip() or run.stderr[-600:]
    return {
        "row": name,
        "ok": run.returncode == 0,
        "seconds": round(time.monotonic() - started),
        "said": said if run.returncode == 0 else run.stderr[-600:],
    }


def main() -> int:
    """Run the rows named on the command line, or all; 1 where one failed."""
    base = environment("base")
    shared = pip(base, str(ROOT), "--constraint", str(ROOT / "constraints.txt"))
    if shared.returncode:
        sys.stderr.write(shared.stderr)
        return 1
    failed = 0
    for name in sys.argv[1:] or ROWS:
        found = row(name, *ROWS[name], base)
        failed += not found["ok"]
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
