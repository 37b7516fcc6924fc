"""Measures libsot for compare_llama_cpp.py: sot_session_measure() of libsot.so, through ctypes.

Each timed run is what generating needs: the pass over the weights, the logits of every sequence's
last row, and the likeliest token of each."""
import ctypes
import resource
import sys

import worker_protocol


PAGE_TOKENS = 16  # at most, so that each sequence has a page of its own beside a full context


class Counted(ctypes.Structure):
    """A parameter struct of sot.h: begins with its own size; zero is the default."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(type(self)), **fields)


def numbers(names):
    return [(name, ctypes.c_uint32) for name in names.split()]


class SessionParams(Counted):
    _fields_ = numbers("struct_size n_threads n_ctx max_batch kv_tokens chunk_rows") + [
        ("isa", ctypes.c_char_p)]


class SessionInfo(Counted):
    _fields_ = numbers("struct_size n_threads n_ctx max_batch kv_tokens chunk_rows") + [
        ("isa", ctypes.c_char_p), ("session_bytes", ctypes.c_uint64)]


class ModelInfo(Counted):
    _fields_ = numbers("struct_size n_layer n_head n_kv d_head d_model d_ff n_vocab "
                       "n_ctx_train") + [
        ("bos_id", ctypes.c_int32), ("eos_id", ctypes.c_int32),
        ("n_parameters", ctypes.c_uint64), ("weight_bytes", ctypes.c_uint64),
        ("converted_bytes", ctypes.c_uint64)]


class MeasureParams(Counted):
    _fields_ = numbers("struct_size n_sequences n_new n_past n_shared n_warmup n_repeats flags")


def fields(info):
    values = {name: getattr(info, name) for name, _ in info._fields_ if name != "struct_size"}
    return {name: value.decode() if isinstance(value, bytes) else value
            for name, value in values.items()}


class Sot:
    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        self.lib.sot_error_message.restype = ctypes.c_char_p
        self.lib.sot_version_string.restype = ctypes.c_char_p
        self.model = ctypes.c_void_p()
        self.session = ctypes.c_void_p()
        self.n_vocab = 0

    def call(self, name, *arguments):
        if getattr(self.lib, name)(*arguments):
            raise RuntimeError(f"{name}: {self.lib.sot_error_message().decode()}")

    def open(self, model, threads, n_ctx, max_rows, isa=None):
        self.call("sot_model_load", model.encode(), None, ctypes.byref(self.model))
        params = SessionParams(n_threads=threads, n_ctx=n_ctx, max_batch=max_rows,
                               kv_tokens=n_ctx + PAGE_TOKENS * max_rows,
                               isa=isa.encode() if isa else None)
        self.call("sot_session_create", self.model, ctypes.byref(params),
                  ctypes.byref(self.session))
        session = SessionInfo()
        self.call("sot_session_get_info", self.session, ctypes.byref(session))
        info = ModelInfo()
        self.call("sot_model_get_info", self.model, ctypes.byref(info))
        self.n_vocab = info.n_vocab
        return {"version": self.lib.sot_version_string().decode(), "kv_type": "F16 keys and values",
                "session": fields(session), "model": fields(info)}

    def measure(self, case, size, n_shared, warmup, repeats, variant=None):
        """case: "prefill" of size tokens or "decode" of size rows behind n_shared tokens."""
        del variant  # one way to compute
        if case == "prefill":
            shape = {"n_sequences": 1, "n_new": size}
        else:
            shape = {"n_sequences": size, "n_new": 1, "n_past": n_shared, "n_shared": n_shared}
        params = MeasureParams(n_warmup=max(warmup, 1), n_repeats=repeats, **shape)
        times = (ctypes.c_uint64 * repeats)()
        self.call("sot_session_measure", self.session, ctypes.byref(params), times)
        return {"ns": list(times)}

    def logits(self, tokens):
        logits = (ctypes.c_float * self.n_vocab)()
        self.call("sot_logits", self.session, (ctypes.c_int32 * len(tokens))(*tokens),
                  ctypes.c_size_t(len(tokens)), logits)
        return {"logits": list(logits)}

    def usage(self):
        return {"peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


if __name__ == "__main__":
    library = Sot(sys.argv[1])
    worker_protocol.serve(
        {"open": library.open, "measure": library.measure, "logits": library.logits,
         "usage": library.usage})
