#!/usr/bin/env python3
"""Prints as JSON what a GPU's figures must be read with: device, driver, clocks, power limit,
toolkit, commit. Asks nvidia-smi and nvcc; what they do not say is null."""
import datetime
import json
import os
import shutil
import subprocess

import machine_facts

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# name of ours, of nvidia-smi
FIELDS = (("device", "name"), ("driver", "driver_version"), ("memory_mib", "memory.total"),
          ("memory_used_mib", "memory.used"), ("compute_capability", "compute_cap"),
          ("clock_sm_mhz", "clocks.sm"), ("clock_sm_max_mhz", "clocks.max.sm"),
          ("clock_memory_mhz", "clocks.mem"), ("clock_memory_max_mhz", "clocks.max.mem"),
          ("power_limit_w", "power.limit"), ("temperature_c", "temperature.gpu"),
          ("ecc", "ecc.mode.current"), ("mig", "mig.mode.current"))


def ask(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def device():
    """Of the first device; one question a field, since older drivers refuse all for one unknown."""
    return {ours: ask("nvidia-smi", "-i", "0", f"--query-gpu={theirs}",
                      "--format=csv,noheader,nounits") for ours, theirs in FIELDS}


def main():
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    toolkit = ask(nvcc, "--version")
    print(json.dumps({
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": machine_facts.commit(ROOT), **device(),
        "toolkit": toolkit.splitlines()[-1] if toolkit else None,
        "processor": machine_facts.machine()["cpu"], "kernel": machine_facts.machine()["kernel"],
    }, indent=1))


if __name__ == "__main__":
    main()
