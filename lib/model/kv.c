/* See kv.h. Pages and sequences are handed out from two stacks of free indices, so every operation
 * costs at most the pages it touches. The only place where a page of several owners could become
 * writable is a sequence that was truncated inside it; reserve copies it first (KV-1). */
#include "kv.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"

struct soti_sequence {
    uint32_t length;  /* written positions */
    uint32_t n_pages; /* in pages; n_pages * SOTI_PAGE_TOKENS >= length */
    uint32_t *pages;  /* (n_table_max) in order of position */
};

struct soti_kv {
    uint32_t n_pages, n_sequences, n_table_max;
    uint32_t n_free, n_free_sequences, peak;
    uint32_t *references;     /* (n_pages) sequences that hold the page */
    uint32_t *free_pages;     /* (n_pages) a stack of n_free */
    uint32_t *free_sequences; /* (n_sequences) a stack of n_free_sequences */
    soti_sequence *sequences; /* (n_sequences) */
    uint32_t *tables;         /* (n_sequences, n_table_max) */
    soti_page_copy_fn copy;
    void *user;
};

static uint32_t pages_for(uint64_t n_tokens)
{
    return (uint32_t)((n_tokens + SOTI_PAGE_TOKENS - 1) / SOTI_PAGE_TOKENS);
}

sot_status soti_kv_create(uint32_t n_pages, uint32_t n_sequences, uint32_t n_table_max,
                          soti_page_copy_fn copy, void *user, soti_kv **out)
{
    *out = NULL;
    soti_kv *kv = soti_alloc(1, sizeof *kv);
    if (kv == NULL) {
        return SOT_ERR_MEMORY;
    }
    size_t n_entries;
    if (!soti_mul(n_sequences, n_table_max, &n_entries)) {
        soti_kv_free(kv);
        return soti_fail(SOT_ERR_MEMORY, "page tables of %u sequences with %u pages are too large",
                         n_sequences, n_table_max);
    }
    kv->references = soti_alloc(n_pages, sizeof *kv->references);
    kv->free_pages = soti_alloc(n_pages, sizeof *kv->free_pages);
    kv->free_sequences = soti_alloc(n_sequences, sizeof *kv->free_sequences);
    kv->sequences = soti_alloc(n_sequences, sizeof *kv->sequences);
    kv->tables = soti_alloc(n_entries, sizeof *kv->tables);
    if (kv->references == NULL || kv->free_pages == NULL || kv->free_sequences == NULL ||
        kv->sequences == NULL || kv->tables == NULL) {
        soti_kv_free(kv);
        return SOT_ERR_MEMORY;
    }
    kv->n_pages = kv->n_free = n_pages;
    kv->n_sequences = kv->n_free_sequences = n_sequences;
    kv->n_table_max = n_table_max;
    kv->copy = copy;
    kv->user = user;
    for (uint32_t i = 0; i < n_pages; i++) { /* page 0 is handed out first */
        kv->free_pages[i] = n_pages - 1 - i;
    }
    for (uint32_t i = 0; i < n_sequences; i++) {
        kv->free_sequences[i] = n_sequences - 1 - i;
        kv->sequences[i].pages = kv->tables + (size_t)i * n_table_max;
    }
    *out = kv;
    return SOT_OK;
}

void soti_kv_free(soti_kv *kv)
{
    if (kv == NULL) {
        return;
    }
    soti_free(kv->references);
    soti_free(kv->free_pages);
    soti_free(kv->free_sequences);
    soti_free(kv->sequences);
    soti_free(kv->tables);
    soti_free(kv);
}

static bool take_page(soti_kv *kv, uint32_t *page)
{
    if (kv->n_free == 0) {
        return false;
    }
    *page = kv->free_pages[--kv->n_free];
    kv->references[*page] = 1;
    uint32_t n_used = kv->n_pages - kv->n_free;
    kv->peak = n_used > kv->peak ? n_used : kv->peak;
    return true;
}

static void release_page(soti_kv *kv, uint32_t page)
{
    if (--kv->references[page] == 0) {
        kv->free_pages[kv->n_free++] = page;
    }
}

static sot_status fail_pool_full(const soti_kv *kv)
{
    return soti_fail(SOT_ERR_CONTEXT_FULL,
                     "the page pool is full: all %u pages of %d tokens are in use", kv->n_pages,
                     SOTI_PAGE_TOKENS);
}

/* A fresh page with the first n_tokens positions of another. */
static sot_status copy_page(soti_kv *kv, uint32_t from, uint32_t n_tokens, uint32_t *page)
{
    if (!take_page(kv, page)) {
        return fail_pool_full(kv);
    }
    sot_status status = kv->copy(kv->user, *page, from, n_tokens);
    if (status != SOT_OK) {
        release_page(kv, *page);
    }
    return status;
}

soti_sequence *soti_sequence_create(soti_kv *kv)
{
    if (kv->n_free_sequences == 0) {
        return NULL;
    }
    soti_sequence *sequence = &kv->sequences[kv->free_sequences[--kv->n_free_sequences]];
    sequence->length = 0;
    sequence->n_pages = 0;
    return sequence;
}

sot_status soti_sequence_fork(soti_kv *kv, const soti_sequence *parent, uint32_t n_tokens,
                              soti_sequence **out)
{
    *out = NULL;
    if (n_tokens > parent->length) {
        return soti_fail(SOT_ERR_INTERNAL, "fork of %u tokens from a sequence of %u", n_tokens,
                         parent->length);
    }
    soti_sequence *child = soti_sequence_create(kv);
    if (child == NULL) {
        return soti_fail(SOT_ERR_CONTEXT_FULL, "all %u sequences are in use", kv->n_sequences);
    }
    uint32_t n_full = n_tokens / SOTI_PAGE_TOKENS;
    uint32_t n_rest = n_tokens % SOTI_PAGE_TOKENS;
    for (uint32_t i = 0; i < n_full; i++) {
        child->pages[i] = parent->pages[i];
        kv->references[child->pages[i]]++;
    }
    child->n_pages = n_full;
    child->length = n_full * SOTI_PAGE_TOKENS;
    if (n_rest > 0) {
        sot_status status = copy_page(kv, parent->pages[n_full], n_rest, &child->pages[n_full]);
        if (status != SOT_OK) {
            soti_sequence_free(kv, child);
            return status;
        }
        child->n_pages++;
        child->length = n_tokens;
    }
    *out = child;
    return SOT_OK;
}

void soti_sequence_free(soti_kv *kv, soti_sequence *sequence)
{
    if (sequence == NULL) {
        return;
    }
    soti_sequence_truncate(kv, sequence, 0);
    kv->free_sequences[kv->n_free_sequences++] = (uint32_t)(sequence - kv->sequences);
}

void soti_sequence_truncate(soti_kv *kv, soti_sequence *sequence, uint32_t n_tokens)
{
    uint32_t n_kept = pages_for(n_tokens);
    while (sequence->n_pages > n_kept) {
        release_page(kv, sequence->pages[--sequence->n_pages]);
    }
    if (n_tokens < sequence->length) {
        sequence->length = n_tokens;
    }
}

/* The page that the next position goes into, when it is partly filled, must be the sequence's own
 * (KV-1). */
static sot_status own_next_page(soti_kv *kv, soti_sequence *sequence)
{
    uint32_t n_filled = sequence->length % SOTI_PAGE_TOKENS;
    uint32_t *page = &sequence->pages[sequence->length / SOTI_PAGE_TOKENS];
    if (n_filled == 0 || kv->references[*page] == 1) {
        return SOT_OK;
    }
    uint32_t own;
    RETURN_IF_ERROR(copy_page(kv, *page, n_filled, &own));
    release_page(kv, *page);
    *page = own;
    return SOT_OK;
}

sot_status soti_sequence_reserve(soti_kv *kv, soti_sequence *sequence, uint32_t n_tokens)
{
    uint64_t n_positions = (uint64_t)sequence->length + n_tokens;
    uint64_t capacity = (uint64_t)kv->n_table_max * SOTI_PAGE_TOKENS;
    if (n_positions > capacity) {
        return soti_fail(SOT_ERR_CONTEXT_FULL,
                         "the context is full: %llu tokens do not fit, a sequence holds %llu",
                         (unsigned long long)n_positions, (unsigned long long)capacity);
    }
    if (n_tokens == 0) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(own_next_page(kv, sequence));
    uint32_t n_needed = pages_for(n_positions);
    while (sequence->n_pages < n_needed) {
        if (!take_page(kv, &sequence->pages[sequence->n_pages])) {
            return fail_pool_full(kv);
        }
        sequence->n_pages++;
    }
    return SOT_OK;
}

void soti_sequence_advance(soti_sequence *sequence, uint32_t n_tokens)
{
    sequence->length += n_tokens;
}

uint32_t soti_sequence_length(const soti_sequence *sequence)
{
    return sequence->length;
}

const uint32_t *soti_sequence_pages(const soti_sequence *sequence)
{
    return sequence->pages;
}

uint32_t soti_sequence_page_count(const soti_sequence *sequence)
{
    return sequence->n_pages;
}

uint32_t soti_sequence_shared_pages(const soti_sequence *a, const soti_sequence *b)
{
    uint32_t n_full = (a->length < b->length ? a->length : b->length) / SOTI_PAGE_TOKENS;
    uint32_t n = 0;
    while (n < n_full && a->pages[n] == b->pages[n]) {
        n++;
    }
    return n;
}

uint32_t soti_kv_page_count(const soti_kv *kv)
{
    return kv->n_pages;
}

uint32_t soti_kv_free_pages(const soti_kv *kv)
{
    return kv->n_free;
}

uint32_t soti_kv_peak_pages(const soti_kv *kv)
{
    return kv->peak;
}

void soti_kv_reset_peak(soti_kv *kv)
{
    kv->peak = kv->n_pages - kv->n_free;
}

uint32_t soti_kv_references(const soti_kv *kv, uint32_t page)
{
    return kv->references[page];
}

uint64_t soti_kv_bytes(const soti_kv *kv)
{
    uint64_t per_page = sizeof *kv->references + sizeof *kv->free_pages;
    uint64_t per_sequence = sizeof *kv->sequences + sizeof *kv->free_sequences +
                            (uint64_t)kv->n_table_max * sizeof *kv->tables;
    return sizeof *kv + kv->n_pages * per_page + kv->n_sequences * per_sequence;
}
