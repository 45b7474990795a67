"""What the system knows of a process (Linux), and functions that run in a process of their own."""

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundation.log import set_up_logging

_ROOT = Path(__file__).parent.parent


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in itself and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int) -> float:
    """Return the memory that a process has now (its resident set)."""
    return _status_mib(pid, "VmRSS")


def peak_memory_mib(pid: int) -> float:
    """Return the most memory that a process has had since its start, or since forget_peak."""
    return _status_mib(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak of memory begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status_mib(pid: int, name: str) -> float:
    found = re.search(
        rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    )
    if found is None:
        raise RuntimeError(f"/proc says no {name} of the process {pid}")
    return int(found[1]) / 1024


def in_a_process(function: Callable[..., Any], *values: object) -> Any:
    """Call a function of a module in a fresh interpreter and return what it returns; both as JSON has it.

    So it has a peak of memory and a processor time of its own. Raises CalledProcessError where it fails.
    """
    command = [
        sys.executable,
        "-m",
        "benchmarks.process",
        function.__module__,
        function.__name__,
        json.dumps(values),
    ]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _main(module: str, function: str, values: str) -> None:
    set_up_logging("console", level="WARNING")
    found = getattr(importlib.import_module(module), function)
    print(json.dumps(found(*json.loads(values))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
