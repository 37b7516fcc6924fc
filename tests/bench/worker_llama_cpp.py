"""Measures llama.cpp for compare_llama_cpp.py, which starts it with the Python that has llama_cpp.

Each timed run is what generating needs: llama_decode on the default F16 key/value cache, the logits
of every sequence's last row, and the likeliest token of each. Filling the batch and forgetting the
row again are left out of the time, as is everything that Python does in between."""
import ctypes
import resource
import time

import llama_cpp
import numpy

import worker_protocol

N_BATCH = 512      # rows of one pass; no prompt here is longer
FIRST_TOKEN = 300  # behind control and byte pieces


@llama_cpp.llama_log_callback
def keep_log(level, text, user):
    LOG.append(text.decode("utf-8", "replace"))


LOG = []


class Context:
    """A context with its batch; flash attention is fixed when it is made."""

    def __init__(self, model, flash, threads, n_ctx, max_rows, n_vocab):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_seq_max = max_rows
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = (llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else
                                  llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED)
        params.kv_unified = True  # what llama.cpp advises for sequences that share a long prompt
        self.handle = llama_cpp.llama_init_from_model(model, params)
        if not self.handle:
            raise RuntimeError("no context: " + "".join(LOG[-5:]))
        self.memory = llama_cpp.llama_get_memory(self.handle)
        self.batch = llama_cpp.llama_batch_init(N_BATCH, 0, 1)
        self.max_rows = max_rows
        self.n_vocab = n_vocab
        self.n_shared = 0  # tokens of the prompt that all sequences share now
        self.logits = None  # of the last pass, until the next one

    def fill(self, rows):
        """rows: (token, position, sequence, whether its logits are needed) each."""
        self.batch.n_tokens = len(rows)
        for i, (token, position, sequence, logits) in enumerate(rows):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = logits

    def run(self, n_choices):
        """One timed pass: its ns and the likeliest next token of each sequence."""
        start = time.perf_counter_ns()
        status = llama_cpp.llama_decode(self.handle, self.batch)
        llama_cpp.llama_synchronize(self.handle)
        logits = numpy.ctypeslib.as_array(llama_cpp.llama_get_logits(self.handle),
                                          (n_choices, self.n_vocab))
        choices = logits.argmax(axis=1)
        spent = time.perf_counter_ns() - start
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        self.logits = logits
        return spent, choices

    def prefill(self, tokens):
        llama_cpp.llama_memory_clear(self.memory, False)
        self.n_shared = 0
        last = len(tokens) - 1
        self.fill([(int(token), i, 0, i == last) for i, token in enumerate(tokens)])
        return self.run(1)[0]

    def prompt(self, n):
        return numpy.random.default_rng(n).integers(FIRST_TOKEN, self.n_vocab, n)

    def share(self, n):
        """Computes a prompt once and lets all sequences have it."""
        if self.n_shared != n:
            self.prefill(self.prompt(n))
            for sequence in range(1, self.max_rows):
                llama_cpp.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
            self.n_shared = n

    def decode(self, n_rows, tokens):
        self.fill([(int(tokens[i]), self.n_shared, i, True) for i in range(n_rows)])
        spent, choices = self.run(n_rows)
        for sequence in range(n_rows):  # the next step begins where this one did
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, self.n_shared, -1)
        return spent, choices


class LlamaCpp:
    def open(self, model, threads, n_ctx, max_rows):
        llama_cpp.llama_log_set(keep_log, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        handle = llama_cpp.llama_model_load_from_file(model.encode(), params)
        if not handle:
            raise RuntimeError("cannot load the model: " + "".join(LOG[-5:]))
        n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(handle))
        self.contexts = {
            variant: Context(handle, variant == "flash", threads, n_ctx, max_rows, n_vocab)
            for variant in ("flash", "plain")}
        return {
            "package": "llama-cpp-python " + llama_cpp.__version__,
            "version": self.version(),
            "system_info": llama_cpp.llama_print_system_info().decode().strip(),
            "threads": llama_cpp.llama_n_threads(self.contexts["flash"].handle),
            "kv_type": "F16 keys and values, unified cache",
            "log": [line.strip() for line in LOG if " size " in line or "flash" in line],
        }

    def version(self):
        version = getattr(llama_cpp, "llama_version", None)
        return version().decode() if version else ""

    def measure(self, case, size, variant, n_shared, warmup, repeats):
        """case: "prefill" of size tokens or "decode" of size rows behind n_shared tokens."""
        context = self.contexts[variant]
        if case == "prefill":
            times = [context.prefill(context.prompt(size)) for _ in range(warmup + repeats)]
        else:
            context.share(n_shared)
            tokens = range(FIRST_TOKEN, FIRST_TOKEN + size)
            times = []
            for _ in range(warmup + repeats):
                spent, tokens = context.decode(size, tokens)
                times.append(spent)
        return {"ns": times[warmup:]}

    def logits(self, tokens):
        context = self.contexts["plain"]
        context.prefill(tokens)
        return {"logits": context.logits[0].tolist()}

    def usage(self):
        return {"peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


if __name__ == "__main__":
    library = LlamaCpp()
    worker_protocol.serve(
        {"open": library.open, "measure": library.measure, "logits": library.logits,
         "usage": library.usage})
