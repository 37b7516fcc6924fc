"""Writes the trained network and its tokenizer as one GGUF file with FP16 matrices.

Owns the file's keys and tensor names. GGUF's `llama` architecture rotates neighbouring elements,
the network here rotates element i with i + d_head / 2, so the rows of Q and K are reordered.
"""
import gguf
import numpy
import sentencepiece

DESCRIPTION = ("Demonstration of Skeleton-of-Thought: lists of points about an object that the "
               "question names. Trained on generated text; it knows nothing else.")


def interleaved(matrix, n_head):
    """Rows of a Q or K matrix reordered from half-split to interleaved rotary pairs."""
    rows, columns = matrix.shape
    halves = matrix.reshape(n_head, 2, rows // n_head // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def add_settings(writer, config):
    """The model's shape and description."""
    writer.add_name("libsot demo")
    writer.add_description(DESCRIPTION)
    writer.add_license("mit")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config.n_context)
    writer.add_embedding_length(config.d_model)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_head)
    writer.add_layer_norm_rms_eps(config.rms_eps)
    writer.add_rope_dimension_count(config.d_head)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_vocab_size(config.n_vocab)
    writer.add_string("sot.conversation", "vicuna")


def token_type(pieces, i):
    """GGUF's type of a piece."""
    if pieces.is_unknown(i):
        return gguf.TokenType.UNKNOWN
    if pieces.is_control(i):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if pieces.is_byte(i) else gguf.TokenType.NORMAL


def add_tokenizer(writer, path):
    """The SentencePiece model, piece by piece."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ids = range(pieces.get_piece_size())
    writer.add_tokenizer_model("llama")
    writer.add_token_list([pieces.id_to_piece(i).encode() for i in ids])
    writer.add_token_scores([pieces.get_score(i) for i in ids])
    writer.add_token_types([token_type(pieces, i) for i in ids])
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_unk_token_id(pieces.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)


def tensors(model):
    """Name and array of every tensor, matrices in FP16 and norms in FP32."""
    for name, parameter in model.state_dict().items():
        array = parameter.detach().float().numpy()
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            array = interleaved(array, model.config.n_head)
        array = array.astype(numpy.float16 if array.ndim == 2 else numpy.float32)
        yield (name if name.endswith(".weight") else name + ".weight"), array
        if name == "token_embd.weight":
            yield "output.weight", array


def export(model, tokenizer_path, path):
    """Write the file, under another name until it is whole."""
    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(str(unfinished), "llama")
    add_settings(writer, model.config)
    add_tokenizer(writer, tokenizer_path)
    for name, array in tensors(model):
        writer.add_tensor(name, numpy.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)
