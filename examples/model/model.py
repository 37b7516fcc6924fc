"""The LLaMA architecture in PyTorch, as small as training needs it.

Owns the network alone; samples.py says what it is fed, train.py how it is trained, export.py how
it is written. A batch is rows that all continue one constant beginning (a template's first
words): the beginning's keys and values are computed once and every row attends to them. A row may
branch: several continuations of one trunk, which see the trunk and themselves, not each other.
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

# Embeddings large enough that an optimiser step changes them little, and a final norm that brings
# the first logits to a deviation of about 0.3 all the same.
EMBED_STD = 0.5
OUTPUT_NORM = 0.04


@dataclass
class Config:
    """The shape of the network, in the names that libsot uses."""

    n_vocab: int
    d_model: int = 256
    n_layer: int = 4
    n_head: int = 4
    d_ff: int = 704
    n_context: int = 1024
    rope_base: float = 10000.0
    rms_eps: float = 1e-5

    @property
    def d_head(self):
        """Width of one head."""
        return self.d_model // self.n_head


class Rotary:
    """Rotary positions in Hugging Face's layout: element i is paired with i + d_head / 2."""

    def __init__(self, config):
        half = config.d_head // 2
        freq = config.rope_base ** (-torch.arange(half, dtype=torch.float32) / half)
        angle = torch.outer(torch.arange(config.n_context, dtype=torch.float32), freq)
        self.cos, self.sin = angle.cos(), angle.sin()

    def at(self, position):
        """Cosines and sines for positions of shape (B, L), to broadcast over heads."""
        return self.cos[position][:, :, None], self.sin[position][:, :, None]

    @staticmethod
    def turn(x, cos, sin):
        """Rotate x (B, L, heads, d_head)."""
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1).to(x.dtype)


class Layer(nn.Module):
    """One block: attention and the SwiGLU feed-forward, each behind a norm."""

    def __init__(self, config):
        super().__init__()
        d, ff = config.d_model, config.d_ff
        self.n_head, self.eps = config.n_head, config.rms_eps
        self.attn_norm = nn.Parameter(torch.ones(d))
        self.ffn_norm = nn.Parameter(torch.ones(d))
        self.attn_q, self.attn_k = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.attn_v, self.attn_output = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.ffn_gate, self.ffn_up = nn.Linear(d, ff, bias=False), nn.Linear(d, ff, bias=False)
        self.ffn_down = nn.Linear(ff, d, bias=False)

    def attend(self, q, k, v, mask):
        """Attention of (B, L, heads, d_head), and the output projection."""
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2),
                                             v.transpose(1, 2), attn_mask=mask)
        return self.attn_output(out.transpose(1, 2).flatten(2))

    def project(self, x, turns):
        """Queries, keys and values of x (B, L, d_model)."""
        h = F.rms_norm(x, x.shape[-1:], self.attn_norm, self.eps)
        q, k, v = (w(h).unflatten(-1, (self.n_head, -1))
                   for w in (self.attn_q, self.attn_k, self.attn_v))
        return Rotary.turn(q, *turns), Rotary.turn(k, *turns), v

    def feed(self, x):
        """The feed-forward half, with its residual."""
        h = F.rms_norm(x, x.shape[-1:], self.ffn_norm, self.eps)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))

    def forward(self, start, start_turns, start_mask, x, turns, mask):
        """Advance the constant beginning (1, P, d) and the rows (B, L, d) by this layer."""
        start_q, start_k, start_v = self.project(start, start_turns)
        q, k, v = self.project(x, turns)
        k = torch.cat((start_k.expand(x.shape[0], -1, -1, -1), k), dim=1)
        v = torch.cat((start_v.expand(x.shape[0], -1, -1, -1), v), dim=1)
        start = start + self.attend(start_q, start_k, start_v, start_mask)
        return self.feed(start), self.feed(x + self.attend(q, k, v, mask))


class Llama(nn.Module):
    """The whole network; the embedding matrix is also the output matrix."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.n_vocab, config.d_model)
        self.blk = nn.ModuleList(Layer(config) for _ in range(config.n_layer))
        self.output_norm = nn.Parameter(torch.full((config.d_model,), OUTPUT_NORM))
        self.rotary = Rotary(config)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = "attn_output" in name or "ffn_down" in name
                nn.init.normal_(parameter, std=0.02 if not residual else 0.005)
        nn.init.normal_(self.token_embd.weight, std=EMBED_STD)

    def hidden(self, start, tokens, branch):
        """Final hidden states (B, L, d_model) of the rows.

        start (P) holds the constant beginning's tokens, tokens (B, L) the rows', branch (B, L) is
        0 on a row's trunk and counts its branches from 1; padding, at the end, is -1.
        """
        n_start, length = start.shape[0], tokens.shape[1]
        position = n_start + positions(branch)
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        seen = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
        mask = torch.cat((torch.ones(len(tokens), length, n_start, dtype=torch.bool),
                          causal & seen), dim=2)[:, None]
        start_mask = torch.ones(n_start, n_start, dtype=torch.bool).tril()
        start_turns = self.rotary.at(torch.arange(n_start)[None])
        turns = self.rotary.at(position)
        a, x = self.token_embd(start)[None], self.token_embd(tokens)
        for layer in self.blk:
            a, x = layer(a, start_turns, start_mask, x, turns, mask)
        return F.rms_norm(x, x.shape[-1:], self.output_norm, self.config.rms_eps)

    def logits(self, hidden):
        """Logits of hidden states."""
        return F.linear(hidden, self.token_embd.weight)


def positions(branch):
    """Position of each token behind the constant beginning: a branch continues from the trunk."""
    trunk = (branch == 0).sum(dim=1, keepdim=True)
    index = torch.arange(branch.shape[1])[None].expand_as(branch)
    first = torch.ones_like(branch, dtype=torch.bool)
    first[:, 1:] = branch[:, 1:] != branch[:, :-1]
    start = torch.cummax(torch.where(first, index, 0), dim=1).values
    return torch.where(branch == 0, index, trunk + index - start)
