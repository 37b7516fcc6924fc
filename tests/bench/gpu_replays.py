#!/usr/bin/env python3
"""Has sot-bench replay the lengths of each open model of the paper on a CUDA device; writes a list
of its replays. The weights are the same random ones each time: only lengths matter."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

# Not the open models of their own: answers came from an API, or are an average.
OTHERS = ("Claude", "ChatGPT-3.5", "GPT-4", "all models")


def open_models(program):
    """Names in --list-lengths, in its order."""
    listed = subprocess.run([program, "--list-lengths"], capture_output=True, text=True, check=True)
    names = []
    for line in listed.stdout.splitlines()[1:]:
        name = line.split("\t")[0]
        if name not in names and name not in OTHERS:
            names.append(name)
    return names


def replay(program, device, model, name, repeats):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run([program, "--device", device, "-m", model, "--cases", "replay",
                        "--replay-model", name, "--replay-repeats", str(repeats),
                        "--json", file.name], stdout=subprocess.DEVNULL, check=True)
        with open(file.name, encoding="utf-8") as written:
            found = json.load(written)
    return {"lengths_of": name, "limits": found["limits"], "replay": found["replay"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--model", required=True, help="random:7b and so on")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", required=True)
    arguments = parser.parse_args()
    program = os.path.join(arguments.build, "examples", "sot-bench")
    done = []
    for name in open_models(program):
        found = replay(program, arguments.device, arguments.model, name, arguments.repeats)
        if not found["replay"]:
            sys.exit(f"gpu_replays: sot-bench left the replay of {name} out")
        print(f"{name}: {found['replay']['first_share_of_bound']:.0%} of the length bound",
              file=sys.stderr)
        done.append(found)
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(done, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
