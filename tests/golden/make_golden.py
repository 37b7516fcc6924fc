"""Makes the golden checkpoints in tests/golden/data/ and what Transformers answers on them.

Needs Python 3.11 and:
    torch==2.13.0 transformers==5.23.0 safetensors==0.8.0 gguf==0.19.0 accelerate==1.15.0 numpy==2.4.6
Usage: python3 tests/golden/make_golden.py [output folder]

Every set is one random LLaMA, saved by the libraries that real checkpoints are saved by: a Hugging
Face directory by Transformers (safetensors), a GGUF file by the gguf package with Q and K rows
reordered for interleaved rotary as llama.cpp's converter does. The oracle is Transformers' LLaMA in
float32 on the same matrices rounded to FP16 (norms are not rounded: libsot keeps them in FP32).

expected.bin, all little-endian:
    "SOTGOLD1", uint32 n_vocab, uint32 n_prompts,
    per prompt: uint32 n, int32 tokens[n], float32 logits[n_vocab] behind the last token,
        float32 rounded[n_vocab]: the same with keys and values rounded to FP16, as libsot keeps them;
    uint32 n, int32 tokens[n]: the prompt of the greedy text,
    uint32 m, int32 tokens[m] that follow it greedily,
    float32 gap[m]: largest minus second largest logit, float32 rms[m]: of the logits, per token.

The script refuses to write a set that could not tell a wrong runtime from a right one: see
negative_controls().
"""
import copy
import json
import pathlib
import shutil
import struct
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward

PROMPT_LENGTHS = (1, 15, 16, 17, 40)  # around the page size, 16, and across several pages
GREEDY_PROMPT, GREEDY_TOKENS = 5, 64
TOLERANCE = 2e-3  # relative L2 of logits that libsot must keep
LEAST_CONTROL = 25 * TOLERANCE  # what a wrong runtime must miss by
LEAST_DECIDED = 52  # greedy tokens (of 64) whose gap is above ten times the tolerance
LEAST_DIFFERENT = 20  # greedy tokens (of 64): a text that repeats itself tests little

# name: shape, how the file is typed, which formats, and the style of config.json
SETS = {
    "mha": dict(d_model=128, n_layer=1, n_head=2, n_kv=2, d_head=64, d_ff=40, n_vocab=97,
                theta=1e4, seed=1, dtype="f16", formats=("hf", "gguf")),
    "gqa-tied": dict(d_model=64, n_layer=1, n_head=2, n_kv=1, d_head=128, d_ff=56, n_vocab=259,
                     theta=5e5, seed=2, dtype="f16", tied=True, formats=("hf", "gguf"),
                     classic_config=True),
    "linear": dict(d_model=64, n_layer=2, n_head=4, n_kv=2, d_head=16, d_ff=80, n_vocab=331,
                   theta=1e4, linear=4.0, seed=3, dtype="f16", formats=("hf", "gguf"),
                   shards="64KB"),
    "bf16": dict(d_model=64, n_layer=2, n_head=2, n_kv=2, d_head=32, d_ff=40, n_vocab=101,
                 theta=5e5, seed=4, dtype="bf16", formats=("hf",), classic_config=True),
    "f32": dict(d_model=48, n_layer=1, n_head=3, n_kv=1, d_head=16, d_ff=41, n_vocab=127,
                theta=1e4, seed=5, dtype="f32", formats=("hf", "gguf"), eps=1e-6),
    "linear-classic": dict(d_model=32, n_layer=2, n_head=8, n_kv=2, d_head=8, d_ff=33, n_vocab=67,
                           theta=1e4, linear=2.5, seed=6, dtype="f16", formats=("hf",),
                           classic_config=True),
    "mqa": dict(d_model=48, n_layer=2, n_head=6, n_kv=1, d_head=8, d_ff=50, n_vocab=103,
                theta=5e5, seed=7, dtype="f16", formats=("gguf",)),
    "deep-tied": dict(d_model=32, n_layer=5, n_head=2, n_kv=2, d_head=16, d_ff=48, n_vocab=73,
                      theta=1e4, seed=8, dtype="bf16", tied=True, formats=("hf", "gguf"),
                      shards="20KB"),
}
DTYPES = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}


def attend_with_fp16_pages(module, query, key, value, *arguments, **options):
    return eager_attention_forward(module, query, key.half().float(), value.half().float(),
                                   *arguments, **options)


ALL_ATTENTION_FUNCTIONS.register("fp16_pages", attend_with_fp16_pages)
ALL_MASK_ATTENTION_FUNCTIONS.register("fp16_pages", eager_mask)


def make_config(spec):
    rope = {"rope_type": "default", "rope_theta": spec["theta"]}
    if "linear" in spec:
        rope = {"rope_type": "linear", "factor": spec["linear"], "rope_theta": spec["theta"]}
    return LlamaConfig(
        vocab_size=spec["n_vocab"], hidden_size=spec["d_model"], intermediate_size=spec["d_ff"],
        num_hidden_layers=spec["n_layer"], num_attention_heads=spec["n_head"],
        num_key_value_heads=spec["n_kv"], head_dim=spec["d_head"], rms_norm_eps=spec.get("eps", 1e-5),
        max_position_embeddings=256, tie_word_embeddings=spec.get("tied", False),
        rope_parameters=rope, bos_token_id=1, eos_token_id=2)


def make_weights(model, spec):
    """Standard deviations such that attention is neither flat nor one-hot and every part of the
    network moves the logits."""
    random = torch.Generator().manual_seed(spec["seed"])
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=random)
        if parameter.dim() == 1:
            # Under tied embeddings a last norm near 1 would make every token follow itself.
            repeats = spec.get("tied") and name == "model.norm.weight"
            values = values if repeats else 1 + 0.2 * values
        elif "q_proj" in name or "k_proj" in name:
            values = values * 1.6 / parameter.shape[1] ** 0.5
        elif "embed_tokens" in name:
            values = values * 0.5
        else:
            values = values * 1.2 / parameter.shape[1] ** 0.5
        with torch.no_grad():
            parameter.copy_(values.to(DTYPES[spec["dtype"]]))


def oracle(model):
    """A float32 copy with every matrix rounded to FP16 from the type it is stored in."""
    rounded = copy.deepcopy(model).float().eval()
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.dim() == 2:
                parameter.copy_(parameter.half().float())
                assert torch.isfinite(parameter).all()
    return rounded


@torch.no_grad()
def logits_of(model, tokens, attention="eager"):
    model.set_attn_implementation(attention)
    return model(torch.tensor([tokens])).logits[0, -1].numpy().astype(np.float32)


def relative_error(a, b):
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b.astype(np.float64)))


def swap_rope_layout(weights, n_head):
    """Rows of Q or K from half-split to interleaved: in each head, row i of the first half and row
    i of the second become rows 2i and 2i + 1."""
    rows, columns = weights.shape
    half = rows // n_head // 2
    return weights.reshape(n_head, 2, half, columns).transpose(0, 2, 1, 3).reshape(rows, columns)


def negative_controls(model, spec, prompt, right):
    """Relative errors of runtimes that are wrong in one thing each."""
    errors = {}

    def try_weights(name, change):
        wrong = copy.deepcopy(model)
        with torch.no_grad():
            for layer in wrong.model.layers:
                change(layer.self_attn)
        errors[name] = relative_error(logits_of(wrong, prompt), right)

    def other_layout(attention):
        for matrix, n in ((attention.q_proj, spec["n_head"]), (attention.k_proj, spec["n_kv"])):
            matrix.weight.copy_(torch.from_numpy(swap_rope_layout(matrix.weight.numpy(), n)))

    def other_heads(attention):
        heads = attention.q_proj.weight.reshape(spec["n_head"], -1, spec["d_model"])
        attention.q_proj.weight.copy_(heads.flip(0).reshape(attention.q_proj.weight.shape))

    def try_config(name, **changes):
        wrong = LlamaForCausalLM(make_config({**spec, **changes})).float().eval()
        wrong.load_state_dict(model.state_dict())
        errors[name] = relative_error(logits_of(wrong, prompt), right)

    try_weights("rope layout", other_layout)
    try_weights("head order", other_heads)
    try_config("theta", theta=5e5 if spec["theta"] == 1e4 else 1e4)
    try_config("scaling", linear=1.0 if "linear" in spec else 2.0)
    errors["last token"] = relative_error(logits_of(model, prompt[:-1]), right)
    other_page = [(token + 1) % spec["n_vocab"] for token in prompt[:16]] + prompt[16:]
    errors["first page"] = relative_error(logits_of(model, other_page), right)
    return errors


def greedy(model, prompt):
    text, gaps, rms = list(prompt), [], []
    for _ in range(GREEDY_TOKENS):
        logits = logits_of(model, text)
        second, first = np.sort(logits)[-2:]
        gaps.append(first - second)
        rms.append(np.sqrt(np.mean(np.square(logits.astype(np.float64)))))
        text.append(int(np.argmax(logits)))
    return text[len(prompt):], gaps, rms


def int_array(values):
    return struct.pack("<I", len(values)) + np.asarray(values, "<i4").tobytes()


def write_expected(path, model, spec):
    random = np.random.default_rng(spec["seed"])
    n_vocab = spec["n_vocab"]
    data = b"SOTGOLD1" + struct.pack("<II", n_vocab, len(PROMPT_LENGTHS))
    for n in PROMPT_LENGTHS:
        prompt = random.integers(0, n_vocab, n).tolist()
        right = logits_of(model, prompt)
        rounded = logits_of(model, prompt, "fp16_pages")
        assert relative_error(rounded, right) < TOLERANCE
        data += int_array(prompt) + right.astype("<f4").tobytes() + rounded.astype("<f4").tobytes()
    controls = negative_controls(model, spec, prompt, right)
    prompt = random.integers(0, n_vocab, GREEDY_PROMPT).tolist()
    tokens, gaps, rms = greedy(model, prompt)
    n_decided = sum(g > 10 * TOLERANCE * r for g, r in zip(gaps, rms))
    print(f"  rms of logits {np.sqrt(np.mean(right ** 2)):.2f}, {len(set(tokens))} different greedy "
          f"tokens, {n_decided} of {len(tokens)} decided")
    print(f"  FP16 keys and values change the logits by {relative_error(rounded, right):.1e}")
    print("  controls: " + ", ".join(f"{k} {v:.3f}" for k, v in controls.items()))
    assert min(controls.values()) > LEAST_CONTROL, controls
    assert n_decided >= LEAST_DECIDED and len(set(tokens)) >= LEAST_DIFFERENT
    data += int_array(prompt) + int_array(tokens)
    data += np.asarray(gaps, "<f4").tobytes() + np.asarray(rms, "<f4").tobytes()
    path.write_bytes(data)


def write_classic_config(path):
    """config.json as Transformers 4 and the original checkpoints have it."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = None
    if rope["rope_type"] == "linear":
        config["rope_scaling"] = {"type": "linear", "factor": rope["factor"]}
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_huggingface(folder, model, spec):
    stored = copy.deepcopy(model).to(DTYPES[spec["dtype"]])
    stored.save_pretrained(folder, max_shard_size=spec.get("shards", "5GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if spec.get("classic_config"):
        write_classic_config(folder / "config.json")
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)


GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


GGUF_TYPES = {"f16": gguf.GGMLQuantizationType.F16, "bf16": gguf.GGMLQuantizationType.BF16,
              "f32": gguf.GGMLQuantizationType.F32}


def gguf_name(name):
    name = name.removesuffix(".weight")
    if name.startswith("model.layers."):
        _, _, layer, part = name.split(".", 3)
        return f"blk.{layer}.{GGUF_NAMES[part]}.weight"
    return GGUF_NAMES[name] + ".weight"


def write_gguf(path, model, spec):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_vocab_size(spec["n_vocab"])
    writer.add_context_length(256)
    writer.add_embedding_length(spec["d_model"])
    writer.add_block_count(spec["n_layer"])
    writer.add_feed_forward_length(spec["d_ff"])
    writer.add_head_count(spec["n_head"])
    writer.add_head_count_kv(spec["n_kv"])
    writer.add_layer_norm_rms_eps(spec.get("eps", 1e-5))
    writer.add_rope_dimension_count(spec["d_head"])
    writer.add_rope_freq_base(spec["theta"])
    if spec["d_head"] * spec["n_head"] != spec["d_model"]:
        writer.add_key_length(spec["d_head"])
        writer.add_value_length(spec["d_head"])
    if "linear" in spec:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(spec["linear"])
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and spec.get("tied"):
            continue
        values = tensor.float().numpy()
        if "q_proj" in name or "k_proj" in name:
            values = swap_rope_layout(values, spec["n_head" if "q_proj" in name else "n_kv"])
        kind = GGUF_TYPES[spec["dtype"] if values.ndim == 2 else "f32"]
        values = gguf.quants.quantize(np.ascontiguousarray(values), kind)
        writer.add_tensor(gguf_name(name), values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    config = make_config(spec)
    read = LlamaForCausalLM.from_pretrained(path.parent, gguf_file=path.name, config=config)
    reread = LlamaForCausalLM(config)
    reread.load_state_dict(read.state_dict())
    return reread


def check_same(name, model, reread, prompt):
    error = relative_error(logits_of(oracle(reread), prompt), logits_of(model, prompt))
    print(f"  {name} read back by Transformers: relative error {error:.1e}")
    assert error < 1e-5


def make_set(folder, name, spec):
    print(name)
    torch.manual_seed(0)
    model = LlamaForCausalLM(make_config(spec)).float()
    make_weights(model, spec)
    if spec.get("tied"):
        model.tie_weights()
    right = oracle(model)
    folder.mkdir(parents=True)
    write_expected(folder / "expected.bin", right, spec)
    prompt = list(range(2, 32))
    if "hf" in spec["formats"]:
        check_same("hf", right, write_huggingface(folder / "hf", model, spec), prompt)
    if "gguf" in spec["formats"]:
        check_same("gguf", right, write_gguf(folder / "model.gguf", model, spec), prompt)


def main():
    transformers.utils.logging.disable_progress_bar()
    here = pathlib.Path(__file__).resolve().parent
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "data"
    with tempfile.TemporaryDirectory() as temporary:
        made = pathlib.Path(temporary) / "data"
        for name, spec in SETS.items():
            make_set(made / name, name, spec)
        total = sum(f.stat().st_size for f in made.rglob("*") if f.is_file())
        print(f"{total} bytes in all")
        assert total < 2_000_000
        if out.exists():
            shutil.rmtree(out)
        shutil.copytree(made, out)


if __name__ == "__main__":
    main()
