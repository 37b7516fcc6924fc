/* See estimate.h. The passes that lib/sot/run.c and lib/model/engine.c would make of texts of these
 * lengths, one by one, each for what the tables say it takes. Where those two change which rows go
 * into which pass, this follows. */
#include "sot/estimate.h"

#include "base/alloc.h"
#include "base/fail.h"
#include "model/kv.h"

typedef struct estimating {
    const sot_profile *profile;
    uint32_t chunk_rows, max_batch;
    bool outside;
} estimating;

/* ---- One text ----------------------------------------------------------------------------------
 */

static double pass_ns(estimating *e, const soti_pass_shape *pass)
{
    return soti_pass_ns(e->profile, pass, &e->outside);
}

/* A prompt's tokens from n_past to n_prompt; a token is picked behind the last if wants_token. */
static double prompt_ns(estimating *e, uint32_t n_past, uint32_t n_prompt, bool wants_token)
{
    double ns = 0;
    while (n_past < n_prompt) {
        uint32_t n_rows = n_prompt - n_past;
        n_rows = n_rows < e->chunk_rows ? n_rows : e->chunk_rows;
        bool is_last = n_past + n_rows == n_prompt;
        soti_pass_shape pass = {.n_prompt = n_rows,
                                .n_logits = is_last && wants_token,
                                .n_before = (n_past + (n_rows - 1) / 2.0) * n_rows};
        ns += pass_ns(e, &pass);
        n_past += n_rows;
    }
    return ns;
}

/* The first token comes with the prompt, and the last one picked is never fed. */
static double text_ns(estimating *e, uint32_t n_found, uint32_t n_prompt, uint32_t n_tokens)
{
    double ns = prompt_ns(e, n_found, n_prompt, true);
    for (uint32_t i = 0; i + 1 < n_tokens; i++) {
        soti_pass_shape pass = {.n_decode = 1, .n_own = (double)n_prompt + i};
        ns += pass_ns(e, &pass);
    }
    return ns;
}

/* ---- Expansions --------------------------------------------------------------------------------
 */

typedef struct expansion {
    uint32_t n_prompt, n_fed; /* of its own end of the request */
    uint32_t n_tokens, n_picked;
    uint32_t n_taken; /* rows in this pass */
} expansion;

typedef struct batch {
    expansion *points; /* (n_points) */
    uint32_t n_points;
    uint32_t i_next;  /* first that has not started */
    uint32_t *active; /* (n_active) */
    uint32_t n_active;
    uint32_t n_shared; /* tokens before all of them in shared pages */
    uint32_t n_copied; /* and in the page that is copied, since it is not full */
} batch;

static bool decodes(const expansion *point)
{
    return point->n_picked > 0;
}

/* As soti_engine_step plans: single tokens always, then prompts in order as far as rows go. */
static soti_pass_shape plan_pass(const estimating *e, batch *all)
{
    soti_pass_shape pass = {.n_shared = all->n_shared};
    uint32_t n_left = e->chunk_rows;
    for (uint32_t i = 0; i < all->n_active; i++) {
        expansion *point = &all->points[all->active[i]];
        bool is_single = decodes(point) || point->n_prompt - point->n_fed == 1;
        point->n_taken = is_single;
        n_left -= is_single;
    }
    for (uint32_t i = 0; i < all->n_active; i++) {
        expansion *point = &all->points[all->active[i]];
        uint32_t n_wanted = point->n_prompt - point->n_fed;
        double n_before = (double)all->n_copied + point->n_fed;
        if (decodes(point)) {
            pass.n_decode++;
            pass.n_logits++;
            pass.n_own += n_before + point->n_picked - 1;
            continue;
        }
        if (n_wanted > 1) {
            point->n_taken = n_wanted < n_left ? n_wanted : n_left;
            n_left -= point->n_taken;
        }
        pass.n_prompt += point->n_taken;
        pass.n_logits += point->n_taken == n_wanted;
        pass.n_before += (all->n_shared + n_before + (point->n_taken - 1.0) / 2) * point->n_taken;
    }
    pass.n_own = pass.n_decode > 0 ? pass.n_own / pass.n_decode : 0;
    return pass;
}

/* Hands the pass's tokens out; who has all of theirs leaves. */
static void advance(batch *all)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < all->n_active; i++) {
        expansion *point = &all->points[all->active[i]];
        if (!decodes(point)) {
            point->n_fed += point->n_taken;
        }
        if (point->n_fed == point->n_prompt) {
            point->n_picked++;
        }
        if (point->n_picked < point->n_tokens) {
            all->active[n_kept++] = all->active[i];
        }
    }
    all->n_active = n_kept;
}

static double batch_ns(estimating *e, batch *all)
{
    double ns = 0;
    while (all->n_active > 0 || all->i_next < all->n_points) {
        while (all->n_active < e->max_batch && all->i_next < all->n_points) {
            all->active[all->n_active++] = all->i_next++;
        }
        soti_pass_shape pass = plan_pass(e, all);
        ns += pass_ns(e, &pass);
        advance(all);
    }
    return ns;
}

static sot_status expand_ns(estimating *e, const sot_lengths *lengths, double *ns)
{
    uint32_t n_points = lengths->n_points;
    *ns = 0;
    if (n_points == 0) {
        return SOT_OK;
    }
    if (n_points == 1) { /* it computes its own beginning */
        uint32_t n_prompt = lengths->common_prompt + lengths->point_prompt_tails[0];
        *ns = text_ns(e, lengths->common_found, n_prompt, lengths->point_tokens[0]);
        return SOT_OK;
    }
    uint32_t n_copied = lengths->common_prompt % SOTI_PAGE_TOKENS;
    batch all = {
        .n_points = n_points, .n_shared = lengths->common_prompt - n_copied, .n_copied = n_copied};
    all.points = soti_alloc(n_points, sizeof *all.points);
    all.active = soti_alloc(n_points, sizeof *all.active);
    sot_status status = all.points != NULL && all.active != NULL ? SOT_OK : SOT_ERR_MEMORY;
    if (status == SOT_OK) {
        for (uint32_t i = 0; i < n_points; i++) {
            all.points[i] = (expansion){.n_prompt = lengths->point_prompt_tails[i],
                                        .n_tokens = lengths->point_tokens[i]};
        }
        *ns =
            prompt_ns(e, lengths->common_found, lengths->common_prompt, false) + batch_ns(e, &all);
    }
    soti_free(all.points);
    soti_free(all.active);
    return status;
}

/* ---- The whole question ------------------------------------------------------------------------
 */

static sot_status check(const char *name, uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least || value > most) {
        return soti_fail(SOT_ERR_ARGUMENT, "lengths: %s is %llu, from %llu to %llu is possible",
                         name, (unsigned long long)value, (unsigned long long)least,
                         (unsigned long long)most);
    }
    return SOT_OK;
}

sot_status soti_lengths_check(const sot_lengths *lengths)
{
    RETURN_IF_ERROR(check("normal_prompt", lengths->normal_prompt, 1, SOTI_LENGTH_MAX));
    RETURN_IF_ERROR(check("normal_tokens", lengths->normal_tokens, 1, SOTI_LENGTH_MAX));
    RETURN_IF_ERROR(check("skeleton_prompt", lengths->skeleton_prompt, 1, SOTI_LENGTH_MAX));
    RETURN_IF_ERROR(
        check("skeleton_found", lengths->skeleton_found, 0, lengths->skeleton_prompt - 1));
    RETURN_IF_ERROR(check("skeleton_tokens", lengths->skeleton_tokens, 1, SOTI_LENGTH_MAX));
    RETURN_IF_ERROR(check("common_prompt", lengths->common_prompt, 0, SOTI_LENGTH_MAX));
    RETURN_IF_ERROR(check("common_found", lengths->common_found, 0, lengths->common_prompt));
    RETURN_IF_ERROR(check("n_points", lengths->n_points, 0, SOTI_POINTS_ESTIMATED_MAX));
    if (lengths->n_points > 0 &&
        (lengths->point_prompt_tails == NULL || lengths->point_tokens == NULL)) {
        return soti_fail(SOT_ERR_ARGUMENT, "lengths: %s is NULL, n_points is %u",
                         lengths->point_prompt_tails == NULL ? "point_prompt_tails"
                                                             : "point_tokens",
                         lengths->n_points);
    }
    for (uint32_t i = 0; i < lengths->n_points; i++) {
        RETURN_IF_ERROR(
            check("a point_prompt_tails", lengths->point_prompt_tails[i], 1, SOTI_LENGTH_MAX));
        RETURN_IF_ERROR(check("a point_tokens", lengths->point_tokens[i], 1, SOTI_LENGTH_MAX));
    }
    return SOT_OK;
}

sot_status soti_estimate(const sot_profile *profile, const sot_lengths *lengths,
                         sot_estimate *estimate)
{
    estimating e = {.profile = profile,
                    .chunk_rows = profile->info.chunk_rows,
                    .max_batch = profile->info.max_batch};
    double expand;
    RETURN_IF_ERROR(expand_ns(&e, lengths, &expand));
    double normal = text_ns(&e, 0, lengths->normal_prompt, lengths->normal_tokens);
    double skeleton =
        text_ns(&e, lengths->skeleton_found, lengths->skeleton_prompt, lengths->skeleton_tokens);
    *estimate = (sot_estimate){.struct_size = sizeof *estimate,
                               .normal_ns = normal,
                               .skeleton_ns = skeleton,
                               .expand_ns = expand,
                               .sot_ns = skeleton + expand};
    estimate->speedup = estimate->sot_ns > 0 ? normal / estimate->sot_ns : 0;
    bool paper_outside = false;
    soti_estimate_paper(profile, lengths, estimate, &paper_outside);
    estimate->extrapolated = (e.outside ? (uint32_t)SOT_EXTRAPOLATED_LIBSOT : 0) |
                             (paper_outside ? (uint32_t)SOT_EXTRAPOLATED_PAPER : 0);
    return SOT_OK;
}
