"""What compare_llama_cpp.py has sot-bench do: write the model, measure the machine's limits, replay
Skeleton-of-Thought. Owns how the program is called; sot-bench(1) describes its JSON."""
import json
import os
import subprocess
import tempfile

NO_MODEL = "random:64x2x4x128x300"  # for when nothing but the machine is measured


def run(build, *arguments):
    subprocess.run([os.path.join(build, "examples", "sot-bench"), *arguments],
                   stdout=subprocess.DEVNULL, check=True)


def measure(build, threads, isa, *arguments):
    """Runs sot-bench and returns its JSON."""
    with tempfile.NamedTemporaryFile(dir=build, suffix=".json") as file:
        run(build, "--threads", str(threads), *(["--isa", isa] if isa else []), *arguments,
            "--json", file.name)
        with open(file.name, encoding="utf-8") as written:
            return json.load(written)


def write_gguf(build, shape, path):
    run(build, "--model", shape, "--write-gguf", path)


def limits(build, threads, isa):
    return measure(build, threads, isa, "--model", NO_MODEL, "--cases", "load")["limits"]


def replay(build, threads, isa, model, name, repeats):
    """Lengths of real answers forced on the model; in the result it is called by name."""
    found = measure(build, threads, isa, "--model", model, "--cases", "replay",
                    "--replay-repeats", str(repeats))
    return {"model": name, "limits": found["limits"], "replay": found["replay"]}
