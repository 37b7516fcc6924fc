"""A LLaMA in plain PyTorch with a static key/value cache, made to be captured: what a decode step
of PyTorch can be at its best. Takes over the weights of a Transformers model; compare_pytorch.py
checks that both compute the same function, and times them."""
import torch
from torch.nn import functional


class StaticLlama(torch.nn.Module):
    def __init__(self, model, n_positions):
        """Empties model layer by layer, so that its weights are in memory once. No cache yet."""
        super().__init__()
        config = model.config
        self.n_head = config.num_attention_heads
        self.n_kv = config.num_key_value_heads
        self.d_head = config.hidden_size // self.n_head
        self.eps = config.rms_norm_eps
        self.n_positions = n_positions
        self.embedding = model.model.embed_tokens.weight.data
        self.output_norm = model.model.norm.weight.data
        self.output = model.lm_head.weight.data
        self.layers = []
        for i, layer in enumerate(model.model.layers):
            attention, feed = layer.self_attn, layer.mlp
            self.layers.append({
                "attention_norm": layer.input_layernorm.weight.data,
                "qkv": torch.cat([attention.q_proj.weight.data, attention.k_proj.weight.data,
                                  attention.v_proj.weight.data]),
                "o": attention.o_proj.weight.data,
                "feed_norm": layer.post_attention_layernorm.weight.data,
                "gate_up": torch.cat([feed.gate_proj.weight.data, feed.up_proj.weight.data]),
                "down": feed.down_proj.weight.data})
            attention.q_proj = attention.k_proj = attention.v_proj = None
            feed.gate_proj = feed.up_proj = None
        device, dtype = self.embedding.device, self.embedding.dtype
        rates = 10000.0 ** (-torch.arange(0, self.d_head, 2, device=device,
                                          dtype=torch.float32) / self.d_head)
        angles = torch.outer(torch.arange(n_positions, device=device, dtype=torch.float32), rates)
        angles = torch.cat([angles, angles], dim=1)
        self.cosine, self.sine = angles.cos().to(dtype), angles.sin().to(dtype)
        self.places = torch.arange(n_positions, device=device)
        self.cache = []

    def reserve(self, batch):
        shape = (batch, self.n_kv, self.n_positions, self.d_head)
        self.cache = [(self.embedding.new_zeros(shape), self.embedding.new_zeros(shape))
                      for _ in self.layers]

    def norm(self, x, weight):
        wide = x.float()
        rate = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * rate).to(x.dtype) * weight

    @staticmethod
    def rotate(x, cosine, sine):
        half = x.shape[-1] // 2
        return x * cosine + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sine

    def attend(self, layer, cache, x, positions):
        batch, n_rows, _ = x.shape
        widths = [self.n_head * self.d_head] + 2 * [self.n_kv * self.d_head]
        parts = functional.linear(x, layer["qkv"]).split(widths, dim=-1)
        q, k, v = (part.view(batch, n_rows, -1, self.d_head).transpose(1, 2) for part in parts)
        cosine, sine = self.cosine[positions], self.sine[positions]
        q, k = self.rotate(q, cosine, sine), self.rotate(k, cosine, sine)
        keys, values = cache
        keys.index_copy_(2, positions, k)
        values.index_copy_(2, positions, v)
        mask = self.places[None, :] <= positions[:, None]
        found = functional.scaled_dot_product_attention(
            q, keys, values, attn_mask=mask, enable_gqa=self.n_kv != self.n_head)
        return functional.linear(found.transpose(1, 2).reshape(batch, n_rows, -1), layer["o"])

    def forward(self, tokens, positions):
        """tokens (batch, n_rows) at positions (n_rows): logits of the last, (batch, n_vocab)."""
        x = functional.embedding(tokens, self.embedding)
        for layer, cache in zip(self.layers, self.cache):
            x = x + self.attend(layer, cache, self.norm(x, layer["attention_norm"]), positions)
            gate, up = functional.linear(self.norm(x, layer["feed_norm"]),
                                         layer["gate_up"]).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, layer["down"])
        return functional.linear(self.norm(x[:, -1], self.output_norm), self.output)
