"""Trains the tokenizer and the demo model on make_corpus.py's output, and writes checkpoints.

Owns the optimisation. The network is model.py, the samples are samples.py; export.py makes the
GGUF file. Start at train().
"""
import argparse
import json
import time
from pathlib import Path

import sentencepiece
import torch
import torch.nn.functional as F

from export import export
from induction import lay_out
from model import Config, Llama
from samples import (IGNORED, PROMPTS, Batches, Sampler, Tokenizer, normal_answer,
                     skeleton_text, vicuna)

# Tokens per step of each kind. The router's prompt is long and its answer one letter, so it comes
# only every second step; copying is known early and is only kept up.
SHARES = {"skeleton": 500, "point": 2200, "normal": 1100, "router": 800, "copy": 150}
ROUTER_EVERY = 2


def train_tokenizer(lines, path, n_vocab):
    """A BPE tokenizer with the settings of LLaMA's."""
    texts = [vicuna(text, request="", outline="", point="", point_outline="")
             for text in PROMPTS.values()] * 20
    for line in lines[:8000]:
        texts += [line["question"], normal_answer(line)]
        texts += [skeleton_text(line["points"])] if "points" in line else []
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([part for text in texts for part in text.split("\n") if part]),
        model_prefix=str(path.with_suffix("")), model_type="bpe", vocab_size=n_vocab,
        byte_fallback=True, character_coverage=0.9999, split_digits=True, add_dummy_prefix=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        num_threads=2, minloglevel=2)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Jordan et al., 2024); for matrices only."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.02):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        """Update all matrices, those of one shape together."""
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                shapes.setdefault(p.shape, []).append(p)
            for params in shapes.values():
                self.update(params, group)

    def update(self, params, group):
        """Update matrices of one shape."""
        grads = torch.stack([p.grad for p in params])
        state = self.state[params[0]]
        average = state.setdefault("average", torch.zeros_like(grads))
        average.lerp_(grads, 1 - group["momentum"])
        update = orthogonal(grads.lerp(average, group["momentum"]))
        scale = max(1, grads.shape[-2] / grads.shape[-1]) ** 0.5
        for p, u in zip(params, update):
            p.mul_(1 - group["lr"] * group["weight_decay"]).add_(u, alpha=-group["lr"] * scale)


def orthogonal(g):
    """The nearest matrices with orthogonal rows or columns, by five Newton-Schulz steps."""
    tall = g.shape[-2] > g.shape[-1]
    x = (g.mT if tall else g).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).float()


def optimizers(model, args):
    """Muon for the layers' matrices, AdamW for the embedding and the norms."""
    matrices = [p for p in model.blk.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() == 1] + [model.token_embd.weight]
    return [Muon(matrices, lr=args.lr),
            torch.optim.AdamW(others, lr=args.lr / 4, betas=(0.9, 0.98), weight_decay=0.0)]


def rate(progress):
    """Learning rate over training: a short warm-up, flat, and down to zero over the last 60%."""
    return min(1.0, progress / 0.01) * min(1.0, max(0.0, (1 - progress) / 0.6))


def balanced(lines):
    """Lines for the router, of which half do not suit Skeleton-of-Thought."""
    lists = [line for line in lines if line["route"] == "A"]
    others = [line for line in lines if line["route"] != "A"]
    return lists + others * (len(lists) // len(others))


def loss_of(model, start, tokens, target, branch):
    """Mean loss over the tokens that count, and their number."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.hidden(start, tokens, branch)
        counted = target != IGNORED
        logits = model.logits(hidden[counted])
    return F.cross_entropy(logits.float(), target[counted])


def train(model, sampler, lines, args):
    """Train until the time or the number of steps is used up."""
    streams = {kind: Batches(sampler, kind, balanced(lines) if kind == "router" else lines,
                             SHARES[kind], args.seed) for kind in Sampler.KINDS}
    optimisers = optimizers(model, args)
    base = [o.param_groups[0]["lr"] for o in optimisers]
    began, step, seen, saved, shown = time.time(), 0, 0, 0.0, {}
    while True:
        used = time.time() - began
        progress = used / (args.minutes * 60) if args.minutes else step / args.steps
        if progress >= 1:
            break
        for optimiser, lr in zip(optimisers, base):
            optimiser.param_groups[0]["lr"] = lr * rate(progress)
        for kind, stream in streams.items():
            if kind == "router" and step % ROUTER_EVERY:
                continue
            batch = stream.next()
            loss = loss_of(model, *batch)
            loss.backward()
            seen += batch[1].numel() + len(batch[0])
            shown[kind] = 0.95 * shown.get(kind, loss.item()) + 0.05 * loss.item()
        for optimiser in optimisers:
            optimiser.step()
        model.zero_grad(set_to_none=True)
        step += 1
        if step % 20 == 0:
            print(f"step {step} minute {used / 60:.1f} tokens {seen / 1e6:.2f}M "
                  + " ".join(f"{k} {v:.3f}" for k, v in shown.items()), flush=True)
        if used - saved > args.save_every * 60:
            saved = used
            save(model, args)
    save(model, args)
    return {"steps": step, "tokens": seen, "minutes": round((time.time() - began) / 60, 1),
            "loss": {k: round(v, 4) for k, v in shown.items()}}


def save(model, args):
    """Write the checkpoint and the GGUF file."""
    torch.save(model.state_dict(), args.data / "model.pt")
    export(model, args.data / "tokenizer.model", args.data / "demo.gguf")


def main():
    """Parse the command line, train, and write model.pt, demo.gguf and training.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("build-model"),
                        help="folder with corpus.jsonl; the results go there too")
    parser.add_argument("--minutes", type=float, default=0, help="train for this time")
    parser.add_argument("--steps", type=int, default=2500, help="or for this many steps")
    parser.add_argument("--save-every", type=float, default=5, help="minutes between checkpoints")
    parser.add_argument("--lr", type=float, default=0.012, help="learning rate of Muon")
    parser.add_argument("--vocab", type=int, default=2560, help="pieces of the tokenizer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="begin from model.pt's weights")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    lines = [json.loads(x) for x in open(args.data / "corpus.jsonl", encoding="utf-8")]
    if not args.resume:
        train_tokenizer(lines, args.data / "tokenizer.model", args.vocab)
    model = Llama(Config(n_vocab=args.vocab))
    lay_out(model)
    if args.resume:
        model.load_state_dict(torch.load(args.data / "model.pt"))
    sampler = Sampler(Tokenizer(args.data / "tokenizer.model"))
    report = train(model, sampler, lines, args)
    (args.data / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    print(report)


if __name__ == "__main__":
    main()
