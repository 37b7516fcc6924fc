#!/usr/bin/env python3
"""Compares libsot with llama.cpp on one GGUF file, in turn, in one run; writes one JSON and prints
the tables. Builds llama.cpp for this machine from PyPI's source package of llama-cpp-python.

Owns the order of measuring; worker_sot.py and worker_llama_cpp.py measure, compare_report.py sums
up, update_doc.py brings the result into docs/benchmarks.md. Both libraries map the file, so its
pages are in memory once; each keeps to its own process, which is idle during the other's turn."""
import argparse
import contextlib
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import compare_report
import machine_facts
import sot_bench_runs
from worker_protocol import Worker

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE = "llama-cpp-python==0.3.36"
SHAPE = "random:2048x24x16x5504x32000"
CASES = "prefill-32,prefill-128,prefill-512,decode-1,decode-2,decode-4,decode-8,decode-16"
MAX_ROWS = 16
N_CTX = 1024
VARIANTS = {"flash": "flash attention", "plain": "no flash attention"}
PROMPT = [1, 1000, 2000, 300, 4000, 5, 600, 700]  # to see that both compute the same function
LEAST_COSINE = 0.999
SETTLE_SECONDS = 0.2  # until the threads of the other library have stopped spinning


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Compare libsot with llama.cpp on one file, in turn, in one run.")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"),
                        help="where libsot and sot-bench were built (default: build/)")
    parser.add_argument("--venv", help="folder of the Python environment with llama.cpp; made, "
                        "which takes minutes, where it is not there (default: venv-llama-cpp in "
                        "--build)")
    parser.add_argument("--package", default=PACKAGE,
                        help="what pip installs into it (default: %(default)s)")
    parser.add_argument("--model", help="GGUF file to compare on (default: one of --shape is "
                        "written, and removed afterwards)")
    parser.add_argument("--shape", default=SHAPE, help="model to write (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="of either library (default: %(default)s)")
    parser.add_argument("--isa", help="instruction set that libsot must use (default: its choice)")
    parser.add_argument("--cases", default=CASES,
                        help="prefill-TOKENS and decode-ROWS (default: %(default)s)")
    parser.add_argument("--shared", type=int, default=128, help="tokens of the prompt that all "
                        "decoding sequences share (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7,
                        help="turns of each library and case (default: %(default)s)")
    parser.add_argument("--replay", action="append", metavar="MODEL",
                        help="also run sot-bench's Skeleton-of-Thought replay on this model; may "
                        "be repeated; \"file\" is the compared file, which is replayed three "
                        "times, others once; \"none\" is no replay (default: file)")
    parser.add_argument("--json", help="where the result goes (default: compare.json in --build)")
    arguments = parser.parse_args()
    arguments.venv = arguments.venv or os.path.join(arguments.build, "venv-llama-cpp")
    arguments.json = arguments.json or os.path.join(arguments.build, "compare.json")
    arguments.replay = [model for model in arguments.replay or ["file"] if model != "none"]
    arguments.cases = [(name.partition("-")[0], int(name.partition("-")[2]))
                       for name in arguments.cases.split(",")]
    for case, size in arguments.cases:
        if not (case == "prefill" and 0 < size <= 512 or case == "decode" and 0 < size <= MAX_ROWS):
            parser.error(f"{case}-{size} is neither prefill-1 to 512 nor decode-1 to {MAX_ROWS}")
    arguments.limits_before = min(arguments.cases)
    return arguments


def say(text):
    print(text, file=sys.stderr, flush=True)


def ensure_venv(folder, package):
    """The environment's Python; builds llama.cpp for this very machine where it is missing."""
    python = os.path.join(folder, "bin", "python")
    check = [python, "-c", "import llama_cpp, numpy"]
    if os.path.exists(python) and not subprocess.run(check, stderr=subprocess.DEVNULL,
                                                     check=False).returncode:
        return python
    say(f"building {package} in {folder}: this takes minutes")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet"]
    # No cache: a wheel that lies there may have been built for another machine.
    subprocess.run(pip + ["--no-cache-dir", "--no-binary", "llama-cpp-python", package],
                   env=dict(os.environ, CMAKE_ARGS="-DGGML_NATIVE=ON"), check=True)
    subprocess.run(pip + ["numpy", "matplotlib"], check=True)
    return python


@contextlib.contextmanager
def model_file(arguments):
    if arguments.model:
        yield arguments.model
        return
    with tempfile.TemporaryDirectory(dir=arguments.build) as folder:
        path = os.path.join(folder, "model.gguf")
        say(f"writing {arguments.shape}")
        sot_bench_runs.write_gguf(arguments.build, arguments.shape, path)
        yield path


def warm(path):
    """Reads the file once, so that nobody's first pass waits for a disk."""
    with open(path, "rb", buffering=0) as file:
        chunk = bytearray(1 << 24)
        while file.readinto(chunk):
            pass


def repeats_of(case, size):
    if case == "decode":
        return 6
    return max(1, 128 // size)


class Comparison:
    def __init__(self, arguments, workers):
        self.arguments = arguments
        self.workers = workers
        self.variant = {}
        self.samples = []
        self.limits = []

    def ask(self, library, case, size, variant, repeats):
        time.sleep(SETTLE_SECONDS)
        return self.workers[library].ask("measure", case=case, size=size, variant=variant,
                                         n_shared=self.arguments.shared, warmup=1,
                                         repeats=repeats)["ns"]

    def choose_variants(self):
        """Uncounted first turns; llama.cpp keeps, case by case, the attention that was quicker."""
        for case, size in self.arguments.cases:
            repeats = 4 if case == "decode" else 1
            times = {variant: sorted(self.ask("llama.cpp", case, size, variant, repeats))
                     for variant in VARIANTS}
            self.variant[case, size] = min(times, key=lambda variant: times[variant][0])
            self.ask("libsot", case, size, None, repeats)
            say(f"{case}-{size}: llama.cpp with {VARIANTS[self.variant[case, size]]}")

    def round(self, i_round):
        """One turn of each library in each case; who goes first changes with the round. The
        machine's limits are measured in between, next to the steps that are compared with them."""
        order = ["libsot", "llama.cpp"]
        if i_round % 2:
            order.reverse()
        for case, size in self.arguments.cases:
            variant = self.variant[case, size]
            if (case, size) == self.arguments.limits_before:
                self.limits.append(sot_bench_runs.limits(
                    self.arguments.build, self.arguments.threads, self.arguments.isa))
            line = f"round {i_round + 1} {case}-{size}:"
            for library in order:
                times = self.ask(library, case, size, variant, repeats_of(case, size))
                self.samples.append({"round": i_round, "case": case, "size": size,
                                     "library": library, "ns": times,
                                     "variant": variant if library == "llama.cpp" else None})
                line += f" {library} {sorted(times)[len(times) // 2] / 1e6:.1f} ms"
            say(line)


def open_workers(arguments, python, path):
    library = os.path.join(arguments.build, "libsot.so")
    workers = {
        "libsot": Worker("libsot", [sys.executable, os.path.join(HERE, "worker_sot.py"), library]),
        "llama.cpp": Worker("llama.cpp", [python, os.path.join(HERE, "worker_llama_cpp.py")])}
    shape = {"model": os.path.abspath(path), "threads": arguments.threads, "n_ctx": N_CTX,
             "max_rows": MAX_ROWS}
    facts = {"libsot": workers["libsot"].ask("open", isa=arguments.isa, **shape),
             "llama.cpp": workers["llama.cpp"].ask("open", **shape)}
    missing = machine_facts.not_compiled_in(facts["llama.cpp"]["system_info"])
    if missing:
        raise RuntimeError(f"llama.cpp in {arguments.venv} was built without {', '.join(missing)}, "
                           "which this machine has: remove that folder")
    return workers, facts


def check_agreement(workers):
    """Both must compute the same function of the file, or times say nothing: the cosine of the
    angle between their logits, and whether the likeliest token is the same."""
    ours, theirs = (workers[name].ask("logits", tokens=PROMPT)["logits"]
                    for name in ("libsot", "llama.cpp"))
    cosine = (sum(x * y for x, y in zip(ours, theirs)) /
              math.sqrt(sum(x * x for x in ours) * sum(y * y for y in theirs)))
    if not cosine >= LEAST_COSINE:
        raise RuntimeError(f"the logits of the two libraries disagree: their cosine is {cosine}")
    return {"logits_cosine": cosine,
            "same_choice": ours.index(max(ours)) == theirs.index(max(theirs))}


def compare(arguments, python, path):
    workers, facts = open_workers(arguments, python, path)
    comparison = Comparison(arguments, workers)
    try:
        agreement = check_agreement(workers)
        comparison.choose_variants()
        for i_round in range(arguments.rounds):
            comparison.round(i_round)
        for name, worker in workers.items():
            facts[name].update(worker.ask("usage"))
    finally:
        for worker in workers.values():
            worker.close()
    return {"libraries": facts, "agreement": agreement, "limits": comparison.limits,
            "samples": comparison.samples}


def replays(arguments, path, name):
    done = []
    for model in arguments.replay:
        what = (path, name, 3) if model == "file" else (model, model, 1)
        say(f"replaying on {what[1]}")
        replayed = sot_bench_runs.replay(arguments.build, arguments.threads, arguments.isa, *what)
        if replayed["replay"]:
            done.append(replayed)
        else:
            say(f"sot-bench left the replay on {what[1]} out")
    return done


def main():
    arguments = parse_arguments()
    python = ensure_venv(arguments.venv, arguments.package)
    result = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "commit": machine_facts.commit(ROOT),
        "machine": machine_facts.machine(),
        "model": os.path.basename(arguments.model) if arguments.model else arguments.shape,
        "threads": arguments.threads, "shared_tokens": arguments.shared,
        "rounds": arguments.rounds,
    }
    with model_file(arguments) as path:
        result["file_bytes"] = os.path.getsize(path)
        warm(path)
        result.update(compare(arguments, python, path))
        result["replays"] = replays(arguments, path, result["model"])
    result["summary"] = compare_report.summarize(result)
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    say(f"wrote {arguments.json}")
    for table in compare_report.tables(result).values():
        print(table + "\n")


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"compare_llama_cpp: {error}")
