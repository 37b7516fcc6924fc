"""Initial weights that can already copy: "… A B … A" makes "B" likely.

Every answer repeats the question's object, so the model needs a so-called induction circuit
(Olsson et al., 2022). Training finds one by itself, but only after a long plateau. This file owns
a start in which it is laid out; all weights are trained from there.

Layer 0, head 0 looks at the previous token and stores a sketch of it. In layer 1 every head
compares the current token's sketch with the stored ones, and repeats what stands where they agree.
"""
import torch

from model import EMBED_STD

CONSTANT = 4.0        # element 0 of every embedding, in units of the others' deviation
PREVIOUS_GAIN = 2.0   # sharpness of "the previous token", with CONSTANT squared in the score
MATCH_GAIN = 2.5      # sharpness of the comparison
STORE_GAIN = 1.25     # size of the stored sketch beside the embedding
COPY_GAIN = 2.0       # size of what is repeated
N_FAST = 6            # rotary pairs that tell neighbours apart
FIRST_SLOW = 17       # rotary pairs from here on hardly turn within a prompt


def orthonormal(rows, columns):
    """A random matrix with orthonormal rows, blind to element 0."""
    matrix = torch.linalg.qr(torch.randn(columns - 1, rows)).Q.T
    return torch.cat((torch.zeros(rows, 1), matrix), dim=1)


@torch.no_grad()
def lay_out(model):
    """Write the circuit into a fresh model."""
    d_model, d_head = model.config.d_model, model.config.d_head
    model.token_embd.weight[:, 0] = CONSTANT * EMBED_STD
    sketch, store = orthonormal(d_head, d_model), orthonormal(d_head, d_model)
    look_back(model.blk[0], d_head, model.config.rope_base)
    model.blk[0].attn_v.weight[:d_head] = sketch
    model.blk[0].attn_output.weight[:, :d_head] = STORE_GAIN * store.T
    slow = torch.arange(FIRST_SLOW, d_head // 2)
    slow = torch.cat((slow, slow + d_head // 2))
    repeat = orthonormal(d_model - 1, d_model)
    layer = model.blk[1]
    for head in range(model.config.n_head):
        rows = slice(head * d_head, min((head + 1) * d_head, d_model - 1))
        layer.attn_q.weight[head * d_head + slow] = MATCH_GAIN * sketch[slow]
        layer.attn_k.weight[head * d_head + slow] = MATCH_GAIN * store[slow]
        layer.attn_v.weight[rows] = repeat[rows]
        layer.attn_output.weight[:, rows] = COPY_GAIN * repeat[rows].T


def look_back(layer, d_head, rope_base):
    """Head 0's score depends on the distance alone and is highest at 1."""
    half = d_head // 2
    pairs = torch.arange(N_FAST)
    angle = rope_base ** (-pairs.float() / half)
    layer.attn_k.weight[pairs, 0] = PREVIOUS_GAIN
    layer.attn_q.weight[pairs, 0] = PREVIOUS_GAIN * angle.cos()
    layer.attn_q.weight[pairs + half, 0] = -PREVIOUS_GAIN * angle.sin()
