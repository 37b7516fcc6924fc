/* Fitting text to a number of tokens: see stand_in.h. A stock of words is cut where it has reached
 * the number; a tokenizer whose pieces are longer than a letter may miss it by one or two. */
#include "stand_in.h"

#include <stdio.h>
#include <string.h>

enum { STOCK_REPEATS = 100, SECOND_STOCK = 7, POINT_STOCK = 3 };

/* What fits is looked for in this. No digits, newlines or braces, which mean something. */
static void write_stock(struct text *stock, size_t begin)
{
    static const char *const words[] = {"plan", "of",    "the",   "garden", "and",   "a",
                                        "long", "walk",  "to",    "see",    "where", "rivers",
                                        "meet", "under", "trees", "in",     "early", "light"};
    enum { N_WORDS = sizeof words / sizeof *words };
    for (size_t i = 0; i < STOCK_REPEATS * N_WORDS; i++) {
        text_string(stock, words[(begin + i) * (1 + begin % 5) % N_WORDS]);
        text_string(stock, " ");
    }
}

static sot_status count_tokens(const sot_model *model, const struct text *text, size_t *count)
{
    sot_status status =
        sot_tokenize(model, text->bytes, text->size, SOT_TOKENIZE_BOS, NULL, 0, count);
    return status == SOT_ERR_CAPACITY ? SOT_OK : status;
}

/* Appends so much of the stock to out that prefix + what was appended + suffix has n_tokens, BOS
 * included; a byte at least. */
static sot_status fit(const sot_model *model, const char *prefix, size_t begin, const char *suffix,
                      size_t n_tokens, struct text *out)
{
    struct text stock = {0};
    write_stock(&stock, begin);
    size_t low = 1;
    size_t high = stock.size;
    struct text text = {0};
    sot_status status = SOT_OK;
    while (low < high && status == SOT_OK) {
        size_t middle = (low + high) / 2;
        size_t count = 0;
        text_clear(&text);
        text_string(&text, prefix);
        text_append(&text, stock.bytes, middle);
        text_string(&text, suffix);
        status = count_tokens(model, &text, &count);
        if (count >= n_tokens)
            high = middle;
        else
            low = middle + 1;
    }
    text_append(out, stock.bytes, low);
    text_free(&text);
    text_free(&stock);
    return status;
}

/* A skeleton whose points share its tokens evenly. */
static sot_status make_outline(const sot_model *model, const struct lengths *lengths, size_t begin,
                               struct text *outline)
{
    sot_status status = SOT_OK;
    for (uint32_t i = 0; i < lengths->n_points && status == SOT_OK; i++) {
        size_t n_tokens = 1 + (size_t)lengths->n_skeleton * (i + 1) / lengths->n_points;
        struct text words = {0};
        text_format(outline, "%u. ", i + 1);
        status = fit(model, outline->bytes, begin + POINT_STOCK * i, "\n", n_tokens, &words);
        text_append(outline, words.bytes, words.size);
        text_string(outline, "\n");
        text_free(&words);
    }
    return status;
}

static sot_status make_skeleton_template(const sot_model *model, const struct lengths *lengths,
                                         const char *question, struct text *made)
{
    struct text rest = {0};
    text_format(&rest, "\n%s\n 1.", question);
    sot_status status = fit(model, "", 0, rest.bytes, lengths->n_stage1, made);
    text_string(made, "\n{request}\n[ROLESWITCHING assistant:] 1.");
    text_free(&rest);
    return status;
}

/* Behind the point's number everything is the point's own. */
static sot_status make_point_template(const sot_model *model, const struct lengths *lengths,
                                      const char *question, const struct text *outline,
                                      struct text *made)
{
    struct text common = {0};
    struct text beginning = {0};
    struct text first = {0};
    struct text own = {0};
    size_t n_first = strcspn(outline->bytes, "\n");
    text_format(&common, "\n%s\n%s\nPoint ", question, outline->bytes);
    sot_status status = fit(model, "", SECOND_STOCK, common.bytes, lengths->n_common, made);
    text_append(&beginning, made->bytes, made->size);
    text_string(&beginning, common.bytes);
    text_string(&beginning, "1");
    text_append(&first, outline->bytes, n_first); /* "1. ..." */
    if (status == SOT_OK)
        status =
            fit(model, beginning.bytes, 0, first.bytes, lengths->n_common + lengths->n_tail, &own);
    text_string(made, "\n{request}\n{outline}\nPoint {point}");
    text_append(made, own.bytes ? own.bytes : "", own.size);
    text_string(made, "[ROLESWITCHING assistant:]{point}. {point_outline}");
    text_free(&common);
    text_free(&beginning);
    text_free(&first);
    text_free(&own);
    return status;
}

sot_status stand_in_make(struct stand_in *made, const sot_model *model,
                         const struct lengths *lengths)
{
    sot_status status = SOT_OK;
    *made = (struct stand_in){0};
    for (size_t i = 0; i < 2 && status == SOT_OK; i++) {
        size_t begin = i * SECOND_STOCK;
        status = fit(model, "", begin, "", lengths->n_question, &made->questions[i]);
        if (status == SOT_OK)
            status = make_outline(model, lengths, begin, &made->outlines[i]);
    }
    if (status == SOT_OK)
        status = make_skeleton_template(model, lengths, made->questions[0].bytes, &made->skeleton);
    if (status == SOT_OK)
        status = make_point_template(model, lengths, made->questions[0].bytes, &made->outlines[0],
                                     &made->point);
    return status;
}

void stand_in_free(struct stand_in *made)
{
    for (size_t i = 0; i < 2; i++) {
        text_free(&made->questions[i]);
        text_free(&made->outlines[i]);
    }
    text_free(&made->skeleton);
    text_free(&made->point);
}
