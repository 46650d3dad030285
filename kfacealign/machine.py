"""What machine this is. Results that depend on the machine name it."""

import platform
from pathlib import Path


def processor() -> str:
    """The name of the processor, as the machine gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
