#!/usr/bin/env python3
"""Compares libsot on a CUDA device with what PyTorch makes of the same shapes on the same card, in
one run; writes one JSON. Weights are random FP16 ones: times do not depend on them.

Configurations: Hugging Face Transformers as it comes (eager); a plain PyTorch LLaMA with a static
cache (torch_llama.py) eager, as one CUDA graph, and under torch.compile. Decoding at batch 1 to 16
behind 512 tokens, a prompt of 512, and one SoT answer the way the reference implementation makes
it: Transformers, one batch of full prompts padded on the left, nothing shared, every row until the
longest is done. libsot is measured by sot-bench before PyTorch and after; the slower turn counts.

--device cpu --model tiny is a rehearsal without a GPU: PyTorch's part only, no graphs."""
import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import transformers

from torch_llama import StaticLlama

# name: d_model, d_ff, layers, heads, vocabulary
SHAPES = {"7b": (4096, 11008, 32, 32, 32000), "13b": (5120, 13824, 40, 40, 32000),
          "33b": (6656, 17920, 60, 52, 32000), "tiny": (64, 128, 2, 4, 300)}
CONTEXT = 512
PROMPT = 512
STEPS = 16  # of one timed run; the cache then goes back to where it was
BATCHES = (1, 2, 4, 8, 16)
LEAST_COSINE = 0.999


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, choices=SHAPES)
    parser.add_argument("--build", help="where libsot and sot-bench were built with CUDA; without "
                        "it PyTorch alone is measured")
    parser.add_argument("--device", default="cuda", help="of PyTorch (default: %(default)s)")
    parser.add_argument("--context", type=int, default=CONTEXT)
    parser.add_argument("--prompt", type=int, default=PROMPT)
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--lengths", default="378:48:99,80,75,69,63,57", metavar="N:S:L1,L2,...",
                        help="of the SoT answer (default: LLaMA2-Chat-7B's, %(default)s)")
    parser.add_argument("--json", required=True)
    arguments = parser.parse_args()
    arguments.batches = [int(batch) for batch in arguments.batches.split(",")]
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print("compare_pytorch: SKIPPED: PyTorch sees no CUDA device here", file=sys.stderr)
        sys.exit(77)
    return arguments


def say(text):
    print(text, file=sys.stderr, flush=True)


def synchronize(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def time_ns(device, run, repeats):
    """Of each counted run, behind two that are not counted."""
    times = []
    for i in range(repeats + 2):
        synchronize(device)
        begin = time.perf_counter_ns()
        run()
        synchronize(device)
        if i >= 2:
            times.append(time.perf_counter_ns() - begin)
    return times


def random_tokens(device, vocabulary, *shape):
    return torch.randint(0, vocabulary, shape, device=device)


def empty(device):
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def make_transformers(shape, device, n_positions):
    d_model, d_ff, n_layer, n_head, vocabulary = shape
    config = transformers.LlamaConfig(
        hidden_size=d_model, intermediate_size=d_ff, num_hidden_layers=n_layer,
        num_attention_heads=n_head, num_key_value_heads=n_head, vocab_size=vocabulary,
        max_position_embeddings=max(2048, n_positions), tie_word_embeddings=False)
    torch.manual_seed(1)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        with torch.device(device):
            return transformers.LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def measure(found, kind, name, batch, n_tokens, device, repeats, run, n_runs=1):
    """Adds one figure, or why there is none: running out of memory ends a case, not the run."""
    entry = {"configuration": name, "batch": batch, "tokens_per_s": None}
    try:
        times = [ns / n_runs for ns in time_ns(device, run, repeats)]
        entry.update(times_ns=times, median_ns=statistics.median(times),
                     tokens_per_s=n_tokens * 1e9 / statistics.median(times))
        say(f"{kind} {name}, batch {batch}: {entry['median_ns'] / 1e6:.2f} ms")
    except Exception as error:  # recorded: the comparison is with the best of the others
        entry["error"] = f"{type(error).__name__}: {str(error)[:300]}"
        say(f"{kind} {name}, batch {batch}: NOT MEASURED: {entry['error']}")
    found[kind].append(entry)
    empty(device)


class Transformers:
    """Transformers as it comes: its own growing cache, its own attention."""

    def __init__(self, model, device):
        self.model = model
        self.device = device
        self.vocabulary = model.config.vocab_size

    def prefill(self, tokens):
        cache = transformers.DynamicCache(config=self.model.config)
        logits = self.model(tokens, past_key_values=cache, use_cache=True,
                            logits_to_keep=1).logits[:, -1]
        return cache, logits

    def step(self, cache, tokens):
        logits = self.model(tokens, past_key_values=cache, use_cache=True).logits[:, -1]
        return logits.argmax(-1, keepdim=True)

    def decode_run(self, batch, context):
        cache, logits = self.prefill(random_tokens(self.device, self.vocabulary, batch, context))
        first = logits.argmax(-1, keepdim=True)

        def run():
            tokens = first
            for _ in range(STEPS):
                tokens = self.step(cache, tokens)
            cache.crop(-STEPS)
        return run

    def text(self, batch, n_prompt, n_tokens):
        """A prompt, and n_tokens of each row by greedy choice; rows never leave the batch."""
        prompt = random_tokens(self.device, self.vocabulary, batch, n_prompt)

        def run():
            cache, logits = self.prefill(prompt)
            tokens = logits.argmax(-1, keepdim=True)
            for _ in range(n_tokens - 1):
                tokens = self.step(cache, tokens)
                tokens.cpu()  # to see whether the text has ended
        return run


class Static:
    """torch_llama.py's model: eager, captured, compiled."""

    def __init__(self, model, device):
        self.model = model
        self.device = device
        self.vocabulary = model.output.shape[0]

    def prefill(self, tokens):
        return self.model(tokens, torch.arange(tokens.shape[1], device=self.device))

    def start(self, batch, context):
        self.model.reserve(batch)
        self.prefill(random_tokens(self.device, self.vocabulary, batch, context))
        self.tokens = random_tokens(self.device, self.vocabulary, batch, 1)
        self.position = torch.tensor([context], device=self.device)

    def step(self, forward):
        """In place, so that it can be captured: the choice is the next step's token."""
        self.tokens.copy_(forward(self.tokens, self.position).argmax(-1, keepdim=True))
        self.position.add_(1)

    def steps(self, one, context):
        def run():
            for _ in range(STEPS):
                one()
            self.position.fill_(context)
        return run

    def eager_run(self, batch, context):
        self.start(batch, context)
        return self.steps(lambda: self.step(self.model), context)

    def compiled_run(self, batch, context):
        self.start(batch, context)
        torch._dynamo.reset()  # another batch is another program
        forward = torch.compile(self.model, mode="max-autotune-no-cudagraphs", fullgraph=True)
        return self.captured(lambda: self.step(forward), context)

    def graph_run(self, batch, context):
        self.start(batch, context)
        return self.captured(lambda: self.step(self.model), context)

    def captured(self, one, context):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                one()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            one()
        self.position.fill_(context)
        return self.steps(graph.replay, context)


def prepared(make, *arguments):
    """make's run, made when it is first needed, so that its failure is one of the measurement."""
    made = []

    def run():
        if not made:
            made.append(make(*arguments))
        made[0]()
    return run


def agreement(before, after):
    cosine = torch.nn.functional.cosine_similarity(before.float().flatten(),
                                                   after.float().flatten(), dim=0).item()
    if not cosine >= LEAST_COSINE:
        sys.exit(f"compare_pytorch: the two PyTorch models disagree: cosine {cosine}")
    return cosine


def measure_sot_reference(found, plain, arguments, prompts):
    """Both stages, one behind the other, in the reference implementation's way."""
    _, skeleton, points = arguments.lengths.split(":")
    limits = [int(limit) for limit in points.split(",")]
    skeleton_run = plain.text(1, prompts["skeleton"], int(skeleton))
    expand_run = plain.text(len(limits), prompts["point"], max(limits))

    def run():
        skeleton_run()
        expand_run()
    times = time_ns(arguments.device, run, max(1, arguments.repeats // 2))
    found["sot"].update(reference_times_ns=times, reference_ns=statistics.median(times))
    say(f"SoT by Transformers: {found['sot']['reference_ns'] / 1e9:.3f} s")


def measure_pytorch(arguments, found, prompts):
    device = arguments.device
    n_positions = -(-(max(arguments.context, arguments.prompt) + STEPS + 1) // 64) * 64
    model = make_transformers(SHAPES[arguments.model], device, n_positions)
    plain = Transformers(model, device)
    prompt = random_tokens(device, plain.vocabulary, 1, arguments.prompt)
    for batch in arguments.batches:
        measure(found, "decode", "transformers eager", batch, batch, device, arguments.repeats,
                prepared(plain.decode_run, batch, arguments.context), STEPS)
    measure(found, "prefill", "transformers eager", 1, arguments.prompt, device, arguments.repeats,
            lambda: plain.prefill(prompt))
    measure_sot_reference(found, plain, arguments, prompts)
    check = random_tokens(device, plain.vocabulary, 1, 40)
    before = plain.prefill(check)[1]
    static = Static(StaticLlama(model, n_positions), device)
    del model, plain
    empty(device)
    static.model.reserve(1)
    found["agreement_cosine"] = agreement(before, static.prefill(check))
    runs = {"static cache eager": static.eager_run}
    if device.startswith("cuda"):
        runs["static cache, CUDA graph"] = static.graph_run
        runs["static cache, torch.compile, CUDA graph"] = static.compiled_run
    for name, make in runs.items():
        for batch in arguments.batches:
            measure(found, "decode", name, batch, batch, device, arguments.repeats,
                    prepared(make, batch, arguments.context), STEPS)
    static.model.reserve(1)
    measure(found, "prefill", "static cache eager", 1, arguments.prompt, device, arguments.repeats,
            lambda: static.prefill(prompt))


def run_sot_bench(arguments):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run([os.path.join(arguments.build, "examples", "sot-bench"), "--device", "cuda",
                        "-m", f"random:{arguments.model}", "--cases", "prefill,decode,replay",
                        "--lengths", arguments.lengths, "--json", file.name],
                       stdout=subprocess.DEVNULL, check=True)
        with open(file.name, encoding="utf-8") as written:
            return json.load(written)


def keep_libsot(found, turns, context, prompt):
    """From sot-bench's objects; of each figure the slower turn."""
    def slower(case, sequences, n_new, n_past):
        times = [one["median_ns"] for turn in turns for one in turn["passes"]
                 if (one["case"], one["sequences"], one["new_tokens"], one["context"]) ==
                 (case, sequences, n_new, n_past) and "median_ns" in one]
        return max(times) if times else None
    for batch in sorted({one["batch"] for one in found["decode"]}):
        ns = slower("decode", batch, 1, context)
        found["decode"].append({"configuration": "libsot", "batch": batch, "median_ns": ns,
                                "tokens_per_s": batch * 1e9 / ns if ns else None})
    ns = slower("prefill", 1, prompt, 0)
    found["prefill"].append({"configuration": "libsot", "batch": 1, "median_ns": ns,
                             "tokens_per_s": prompt * 1e9 / ns if ns else None})
    replays = [turn["replay"] for turn in turns if turn.get("replay")]
    if replays:
        found["sot"]["libsot_ns"] = max(one["first_ns"] for one in replays)
        found["sot"]["libsot_normal_ns"] = max(one["normal_ns"] for one in replays)


def prompts_of(turn, lengths):
    """Tokens of the skeleton's prompt and of one point's full prompt, as libsot's own were."""
    replay = (turn or {}).get("replay")
    if not replay:
        return {"skeleton": 171, "point": 109}
    n_points = len(lengths.split(":")[2].split(","))
    sums = {name: replay[name]["prompt_tokens"] + replay[name]["reused_tokens"]
            for name in ("first_skeleton", "first_expansions")}
    return {"skeleton": sums["first_skeleton"], "point": -(-sums["first_expansions"] // n_points)}


def main():
    arguments = parse_arguments()
    found = {"model": arguments.model, "device": arguments.device, "torch": torch.__version__,
             "transformers": transformers.__version__, "context": arguments.context,
             "prompt": arguments.prompt, "steps": STEPS, "decode": [], "prefill": [], "sot": {}}
    if arguments.device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
    turns = [run_sot_bench(arguments)] if arguments.build else []
    prompts = prompts_of(turns[0] if turns else None, arguments.lengths)
    found["sot"].update(lengths=arguments.lengths, prompt_tokens=prompts)
    with torch.inference_mode():
        measure_pytorch(arguments, found, prompts)
    empty(arguments.device)
    if turns:
        turns.append(run_sot_bench(arguments))
        keep_libsot(found, turns, arguments.context, arguments.prompt)
    with open(arguments.json, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
