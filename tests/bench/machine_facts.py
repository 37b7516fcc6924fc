"""What a measurement must be read with: processor, memory, kernel, the commit that was built. Owns
how they are found; leaves out what would name the host or its folders."""
import os
import platform
import re
import subprocess

FLAGS = ("avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_vnni", "avx512_fp16",
         "amx_tile", "amx_bf16", "amx_int8", "amx_fp16", "asimd", "asimdhp", "bf16", "i8mm")
# What llama.cpp calls the features that its FP16 kernels can use.
LLAMA_CPP_NAMES = {"avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "avx512f": "AVX512",
                   "avx512_bf16": "AVX512_BF16", "avx512_vnni": "AVX512_VNNI",
                   "amx_int8": "AMX_INT8"}


def first_match(path, pattern, otherwise=""):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.MULTILINE)
    except OSError:
        return otherwise
    return found.group(1).strip() if found else otherwise


def cpu_flags():
    have = set(first_match("/proc/cpuinfo", r"^(?:flags|Features)\s*:(.*)$").split())
    return [flag for flag in FLAGS if flag in have]


def machine():
    cpuinfo = "/proc/cpuinfo"
    numbers = [first_match(cpuinfo, rf"^{name}\s*:(.*)$") for name in
               ("cpu family", "model", "stepping")]
    return {
        "cpu": first_match(cpuinfo, r"^model name\s*:(.*)$", platform.machine()),
        "family_model_stepping": "/".join(numbers),
        "flags": cpu_flags(),
        "virtual": "hypervisor" in first_match(cpuinfo, r"^flags\s*:(.*)$").split(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": 1024 * int(first_match("/proc/meminfo", r"^MemTotal:\s*(\d+) kB", "0")),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "huge_pages": first_match("/sys/kernel/mm/transparent_hugepage/enabled", r"\[(\w+)\]"),
    }


def compiled_in(system_info):
    """What llama.cpp was built with, by its llama_print_system_info()."""
    return re.findall(r"(\w+) = 1", system_info)


def not_compiled_in(system_info):
    """The processor's features that llama.cpp was built without."""
    built = compiled_in(system_info)
    return [flag for flag in cpu_flags()
            if flag in LLAMA_CPP_NAMES and LLAMA_CPP_NAMES[flag] not in built]


def commit(root):
    """The commit that is checked out, with "+" if what is built from it differs from it."""
    def git(*arguments):
        return subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True,
                              check=True).stdout.strip()
    try:
        name = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "--", "lib", "include", "examples", "CMakeLists.txt")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if changed else "")
