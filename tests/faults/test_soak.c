/* A host that goes on for long: eight sessions and four threads that share one model under a memory
 * ceiling. Each thread takes the next question and whichever session is free; questions, ways of
 * asking and lengths are drawn at random, a part is cancelled. What is said is what one thread said
 * on one session before, and resident memory stays what it was after the first answers.
 * SOT_SOAK_ANSWERS in the environment: how many (tests/soak.sh: 20,000); without it a short run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "faults/question_case.h"
#include "sanitized.h"

enum {
    N_SESSIONS = 8,
    N_THREADS = 4,
    N_ANSWERS = SANITIZED ? 24 : 200,
    N_ANSWERS_WARM = 1000,
    N_CASES_SHORT = SANITIZED ? 8 : 30,
    N_CASES_MAX = 240,
    CANCELLED_SHARE = 5,   /* one answer in so many */
    CEILING_MIB = 640,     /* of address space, all in all */
    GROWTH_PER_MILLE = 10, /* of resident memory since the first answers */
    PROGRESS_S = 10
};

/* What a case comes to on one session, on one thread. */
static struct {
    question_case asked;
    uint64_t hash;
} cases[N_CASES_MAX];

static struct {
    sot_model *model;
    uint32_t n_cases, n_answers;
    pthread_mutex_t mutex; /* of what follows */
    sot_session *idle[N_SESSIONS];
    uint32_t n_idle;
    uint32_t n_taken; /* questions handed out */
    atomic_uint n_done, n_wrong, n_cancelled;
    long warm_kib;   /* resident after N_ANSWERS_WARM */
    char wrong[256]; /* the first thing that was */
} soak;

/* The random numbers of question i. */
typedef struct draw {
    uint32_t i_case;
    bool is_cancelled;
    uint32_t stop_at; /* event that stops it */
} draw;

static draw draw_question(uint32_t i)
{
    uint32_t words[4];
    soti_random_block(23, 0, i, words);
    return (draw){.i_case = words[0] % soak.n_cases,
                  .is_cancelled = words[1] % CANCELLED_SHARE == 0,
                  .stop_at = 1 + words[2] % 60};
}

typedef struct listener {
    uint32_t n_events, stop_at;
    sot_session *cancels;
    uint32_t n_split;
} listener;

/* One half of those that are cancelled stops by itself, one asks for it. */
static int32_t listen(const sot_event *event, void *user)
{
    listener *self = user;
    self->n_events++;
    self->n_split += soti_utf8_find_invalid(event->text, event->text_size) != event->text_size;
    if (self->n_events != self->stop_at) {
        return 0;
    }
    if (self->stop_at % 2 == 0) {
        sot_session_cancel(self->cancels);
        return 0;
    }
    return 1;
}

static sot_session *take_session(uint32_t *i_question)
{
    sot_session *session = NULL;
    pthread_mutex_lock(&soak.mutex);
    if (soak.n_taken < soak.n_answers) {
        *i_question = soak.n_taken++;
        uint32_t i = *i_question * 5 % soak.n_idle; /* not the one that was last given back */
        session = soak.idle[i];
        soak.idle[i] = soak.idle[--soak.n_idle];
    }
    pthread_mutex_unlock(&soak.mutex);
    return session;
}

static void give_session_back(sot_session *session)
{
    pthread_mutex_lock(&soak.mutex);
    soak.idle[soak.n_idle++] = session;
    pthread_mutex_unlock(&soak.mutex);
}

static void note_wrong(uint32_t i_question, const draw *drawn, const outcome *out)
{
    if (atomic_fetch_add(&soak.n_wrong, 1) == 0) {
        snprintf(soak.wrong, sizeof soak.wrong,
                 "question %u, case %u, stopped at %u: status %d, hash %016llx, UTF-8 %d; %s",
                 i_question, drawn->i_case, drawn->is_cancelled ? drawn->stop_at : 0, out->status,
                 (unsigned long long)out->hash, out->is_utf8, sot_error_message());
    }
}

static void answer_one(sot_session *session, uint32_t i_question)
{
    draw drawn = draw_question(i_question);
    listener events = {.stop_at = drawn.is_cancelled ? drawn.stop_at : 0, .cancels = session};
    outcome out = ask(session, &cases[drawn.i_case].asked, listen, &events);
    bool is_right = out.has_answer && out.is_utf8 && events.n_split == 0;
    if (out.status == SOT_OK) {
        is_right = is_right && out.hash == cases[drawn.i_case].hash;
    } else {
        is_right = is_right && out.status == SOT_ERR_CANCELLED && drawn.is_cancelled;
        atomic_fetch_add(&soak.n_cancelled, 1);
    }
    if (!is_right) {
        note_wrong(i_question, &drawn, &out);
    }
}

static void *answer_questions(void *unused)
{
    (void)unused;
    uint32_t i_question;
    sot_session *session;
    while ((session = take_session(&i_question)) != NULL) {
        answer_one(session, i_question);
        give_session_back(session);
        if (atomic_fetch_add(&soak.n_done, 1) + 1 == N_ANSWERS_WARM) {
            soak.warm_kib = process_kib("VmRSS: %ld");
        }
    }
    return NULL;
}

/* What every case says on one session, on this thread. */
static void find_expected(void)
{
    sot_session *session = NULL;
    assert_int_equal(open_case_session(soak.model, &session), SOT_OK);
    for (uint64_t i = 0; i < soak.n_cases; i++) {
        cases[i].asked = make_case(1000 + i);
        outcome out = ask(session, &cases[i].asked, NULL, NULL);
        assert_int_equal(out.status, SOT_OK);
        assert_true(out.is_utf8);
        cases[i].hash = out.hash;
    }
    sot_session_free(session);
}

static void limit_memory(void)
{
    const struct rlimit limit = {(rlim_t)CEILING_MIB << 20, (rlim_t)CEILING_MIB << 20};
    if (SANITIZED) {
        print_message("no memory ceiling: a sanitizer needs terabytes of addresses\n");
        return;
    }
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void watch(const pthread_t *threads)
{
    uint64_t began = soti_clock_ns();
    uint64_t shown = began;
    uint32_t n_done;
    while ((n_done = atomic_load(&soak.n_done)) < soak.n_answers) {
        struct timespec rest = {.tv_nsec = 20000000};
        nanosleep(&rest, NULL);
        uint64_t now = soti_clock_ns();
        if (now - shown > (uint64_t)PROGRESS_S * 1000000000 && n_done > 0) {
            double seconds = (double)(now - began) * 1e-9;
            shown = now;
            print_message("%u of %u answers, %.0f s, %.0f s to go; %ld KiB resident\n", n_done,
                          soak.n_answers, seconds, seconds / n_done * (soak.n_answers - n_done),
                          process_kib("VmRSS: %ld"));
        }
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    double seconds = (double)(soti_clock_ns() - began) * 1e-9;
    print_message("%u answers (%u cancelled) of %u cases by %d sessions on %d threads in %.0f s\n",
                  n_done, atomic_load(&soak.n_cancelled), soak.n_cases, N_SESSIONS, N_THREADS,
                  seconds);
}

static void sessions_under_a_ceiling_say_what_one_says_and_do_not_grow(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    limit_memory();
    find_expected();
    for (soak.n_idle = 0; soak.n_idle < N_SESSIONS; soak.n_idle++) {
        sot_session **session = &soak.idle[soak.n_idle];
        assert_int_equal(open_case_session(soak.model, session), SOT_OK);
        assert_int_equal(touch_pages(*session), SOT_OK);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, answer_questions, NULL), 0);
    }
    watch(threads);
    long kib = process_kib("VmRSS: %ld");
    for (uint32_t i = 0; i < N_SESSIONS; i++) {
        sot_session_free(soak.idle[i]);
    }
    if (soak.n_wrong > 0) {
        fail_msg("%u answers are wrong; the first: %s", soak.n_wrong, soak.wrong);
    }
    assert_true(soak.n_cancelled > 0);
    print_message("RLIMIT_AS %d MiB, most used %ld KiB; resident now %ld KiB\n", CEILING_MIB,
                  process_kib("VmPeak: %ld"), kib);
    if (soak.warm_kib > 0 && !SANITIZED) {
        long growth = kib - soak.warm_kib;
        print_message("resident after %d answers: %ld KiB; since then %+ld KiB, %+.2f%%\n",
                      N_ANSWERS_WARM, soak.warm_kib, growth,
                      100.0 * (double)growth / (double)soak.warm_kib);
        assert_true(growth * 1000 < soak.warm_kib * GROWTH_PER_MILLE);
    }
}

static int setup(void **state)
{
    (void)state;
    const char *text = getenv("SOT_SOAK_ANSWERS");
    uint32_t n = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 0;
    soak.n_answers = n > 0 ? n : N_ANSWERS;
    soak.n_cases = n > 0 ? N_CASES_MAX : N_CASES_SHORT;
    pthread_mutex_init(&soak.mutex, NULL);
    return sot_model_load(demo_path, NULL, &soak.model) == SOT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pthread_mutex_destroy(&soak.mutex);
    sot_model_free(soak.model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_under_a_ceiling_say_what_one_says_and_do_not_grow),
    };
    setvbuf(stdout, NULL, _IOLBF, 0); /* progress is to be seen in files and pipes, too */
    return cmocka_run_group_tests_name("soak", tests, setup, teardown);
}
