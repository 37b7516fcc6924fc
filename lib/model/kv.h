/* Key/value pages: one pool per session, sequences as lists of page references.
 *
 *   KV-1  a page is writable by exactly one sequence (its reference count is 1)
 *   KV-2  fork shares every full page and copies at most the last, partly filled one
 *   KV-3  a page returns to the pool when its count reaches zero
 *   KV-4  free pages + distinct referenced pages = n_pages, always
 *   KV-5  a position is written once (a step that was cancelled wrote nothing that counts)
 *
 * This is bookkeeping only; the bytes live in the backend, which copies when fork says so.
 * Everything is allocated at creation. */
#ifndef SOTI_MODEL_KV_H
#define SOTI_MODEL_KV_H

#include <stdint.h>

#include "backend/backend.h"
#include "sot/status.h"

typedef struct soti_kv soti_kv;

/* Copies the first n_tokens positions of a page; the backend's page_copy behind a context. */
typedef sot_status (*soti_page_copy_fn)(void *user, uint32_t to_page, uint32_t from_page,
                                        uint32_t n_tokens);

typedef struct soti_sequence soti_sequence;

/* n_sequences: how many may live at once. n_table_max: pages of one sequence. */
sot_status soti_kv_create(uint32_t n_pages, uint32_t n_sequences, uint32_t n_table_max,
                          soti_page_copy_fn copy, void *user, soti_kv **out);
void soti_kv_free(soti_kv *kv);

/* An empty sequence, or NULL when n_sequences live already (an internal limit, not a failure). */
soti_sequence *soti_sequence_create(soti_kv *kv);

/* A sequence with the first n_tokens positions of parent (KV-2). Returns CONTEXT_FULL when no page
 * is left for the copy or no sequence is left; *out is NULL then. */
sot_status soti_sequence_fork(soti_kv *kv, const soti_sequence *parent, uint32_t n_tokens,
                              soti_sequence **out);
void soti_sequence_free(soti_kv *kv, soti_sequence *sequence); /* NULL: nothing */

/* Forgets the positions from n_tokens on and gives back the pages behind them, reserved ones too;
 * n_tokens <= length. */
void soti_sequence_truncate(soti_kv *kv, soti_sequence *sequence, uint32_t n_tokens);

/* Gets pages for positions up to length + n_tokens; a partly filled page that others hold too (a
 * truncated sequence has such) is copied first. Returns CONTEXT_FULL (of table or pool: the
 * sentence says which), or the copy's failure; what was got stays reserved for the sequence. */
sot_status soti_sequence_reserve(soti_kv *kv, soti_sequence *sequence, uint32_t n_tokens);

/* After a step: n_tokens reserved positions are now written. */
void soti_sequence_advance(soti_sequence *sequence, uint32_t n_tokens);

uint32_t soti_sequence_length(const soti_sequence *sequence);       /* written positions */
const uint32_t *soti_sequence_pages(const soti_sequence *sequence); /* (n_pages) */
uint32_t soti_sequence_page_count(const soti_sequence *sequence);
/* Leading pages that a and b have in common, all of them full in both. */
uint32_t soti_sequence_shared_pages(const soti_sequence *a, const soti_sequence *b);

uint32_t soti_kv_page_count(const soti_kv *kv);
uint32_t soti_kv_free_pages(const soti_kv *kv);
uint32_t soti_kv_peak_pages(const soti_kv *kv); /* most pages in use at once since the last reset */
void soti_kv_reset_peak(soti_kv *kv);
uint32_t soti_kv_references(const soti_kv *kv, uint32_t page);
uint64_t soti_kv_bytes(const soti_kv *kv); /* reserved by the bookkeeping */

#endif
