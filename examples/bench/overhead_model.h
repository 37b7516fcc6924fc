/* A model that is nothing but a tokenizer: tiny random weights around a SentencePiece model, for
 * counting what the real pipeline computes of real texts. */
#ifndef SOT_BENCH_OVERHEAD_MODEL_H
#define SOT_BENCH_OVERHEAD_MODEL_H

#include <sot/sot.h>

/* Loads it by way of a temporary folder, which is gone when this returns. Returns -1, or an exit
 * code after having said what is wrong. */
int overhead_model_load(const char *tokenizer_path, sot_model **out);

#endif
