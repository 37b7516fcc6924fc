/* Cancelling at every event, and at any moment from another thread and from a signal's handler: the
 * call returns CANCELLED with what there is, whole in UTF-8, or OK with everything; the session
 * goes on and then says what a fresh one says; no page and no byte is lost. SOT_CANCELLATIONS in
 * the environment: how many calls are cancelled (tests/soak.sh: 10,000). */
#include "sanitized.h"

#if SANITIZED
static long heap_blocks; /* the sanitizer's to count */
static long heap_bytes;
#else
#include "faults/allocator.h"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "base/clock.h"
#include "faults/question_case.h"
#include "sot/session.h"

enum {
    N_CASES = 36,
    N_RUNS = SANITIZED ? 40 : 300,
    DEMO_SHARE = 5,        /* one run in so many is the demo model's, of which each takes 30 ms */
    N_RUNS_WARM = 500,     /* libc has what it keeps */
    N_RUNS_OF_ALL = 10000, /* from which on each event is among them */
    PROGRESS_S = 10
};

/* Says what comes, but at once; its points are given. */
static const char tiny_path[] = "random:32x1x2x32x300";
static const sot_prompts tiny_prompts = {
    .struct_size = sizeof tiny_prompts,
    .skeleton = "List {request}[ROLESWITCHING assistant:]1. Ab\n2. Cd\n3.",
    .point = "On {request} {outline}[ROLESWITCHING assistant:]{point}. {point_outline}",
    .router = "Is {request} fit?"};

enum manner { BY_EVENT, BY_CALL_IN_EVENT, BY_THREAD, BY_SIGNAL, MANNERS };

static const char *const manner_names[MANNERS] = {"by the callback", "by a call in the callback",
                                                  "by a thread", "by a signal's handler"};

/* A model, the session that is cancelled, and what each case comes to when nobody interferes, on a
 * session of its own. */
typedef struct subject {
    sot_model *model;
    sot_session *session;
    uint32_t n_runs, n_events; /* made so far; of all cases */
    struct {
        question_case asked;
        uint64_t hash;
        uint32_t n_events;
        uint64_t ns;
        bool is_utf8; /* a model with random weights says any bytes */
    } cases[N_CASES];
} subject;

static subject demo;
static subject tiny;
static sot_session *volatile signalled;

typedef struct listener {
    uint32_t n_events;
    uint32_t stop_at; /* the event of this number (from 1); 0: none */
    sot_session *cancels;
    uint32_t n_split; /* texts with a part of a character */
} listener;

static int32_t listen(const sot_event *event, void *user)
{
    listener *self = user;
    self->n_events++;
    self->n_split += soti_utf8_find_invalid(event->text, event->text_size) != event->text_size;
    if (self->n_events != self->stop_at) {
        return 0;
    }
    if (self->cancels != NULL) {
        sot_session_cancel(self->cancels);
    }
    return self->cancels == NULL;
}

static void cancel_in_handler(int signal_number)
{
    (void)signal_number;
    sot_session_cancel(signalled);
}

static sot_status open_subject(subject *self, const char *path, const sot_prompts *prompts)
{
    sot_status status = sot_model_load(path, NULL, &self->model);
    for (uint64_t i = 0; i < N_CASES && status == SOT_OK; i++) {
        listener quiet = {0};
        sot_session *fresh = NULL;
        question_case asked = make_case(i);
        asked.prompts = prompts;
        status = open_case_session(self->model, &fresh);
        uint64_t began = soti_clock_ns();
        outcome out = ask(fresh, &asked, listen, &quiet);
        assert_int_equal(out.status, SOT_OK);
        assert_int_equal(quiet.n_split, 0);
        self->cases[i].asked = asked;
        self->cases[i].ns = soti_clock_ns() - began;
        self->cases[i].hash = out.hash;
        self->cases[i].is_utf8 = out.is_utf8;
        self->cases[i].n_events = quiet.n_events;
        self->n_events += quiet.n_events;
        sot_session_free(fresh);
    }
    if (status == SOT_OK) {
        status = open_case_session(self->model, &self->session);
    }
    return status == SOT_OK ? touch_pages(self->session) : status;
}

static int setup(void **state)
{
    (void)state;
    signal(SIGALRM, cancel_in_handler);
    if (open_subject(&demo, demo_path, NULL) != SOT_OK ||
        open_subject(&tiny, tiny_path, &tiny_prompts) != SOT_OK) {
        return -1;
    }
    for (size_t i = 0; i < N_CASES; i++) {
        assert_true(demo.cases[i].is_utf8);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sot_session_free(demo.session);
    sot_session_free(tiny.session);
    sot_model_free(demo.model);
    sot_model_free(tiny.model);
    return 0;
}

/* Free pages and those that kept sequences hold, each once, are all there are (KV-4). */
static void check_pages(const sot_session *session)
{
    static uint8_t is_held[4096];
    soti_kv *kv = soti_engine_kv(session->engine);
    uint32_t n_held = 0;
    memset(is_held, 0, sizeof is_held);
    assert_true(soti_kv_page_count(kv) <= sizeof is_held);
    for (uint32_t i = 0; i <= SOTI_KEPT_MAX; i++) {
        const soti_sequence *kept =
            i < SOTI_KEPT_MAX ? session->kept[i].sequence : session->logits_sequence;
        uint32_t n_pages = kept != NULL ? soti_sequence_page_count(kept) : 0;
        for (uint32_t j = 0; j < n_pages; j++) {
            uint32_t page = soti_sequence_pages(kept)[j];
            n_held += is_held[page] == 0;
            is_held[page] = 1;
        }
    }
    assert_int_equal(soti_kv_free_pages(kv) + n_held, soti_kv_page_count(kv));
}

typedef struct late_call {
    pthread_t thread;
    sot_session *session;
    uint64_t delay_ns;
} late_call;

static void *cancel_late(void *argument)
{
    late_call *self = argument;
    uint64_t began = soti_clock_ns();
    if (self->delay_ns > 100000) {
        struct timespec most = {.tv_nsec = (long)(self->delay_ns - 60000)};
        nanosleep(&most, NULL);
    }
    while (soti_clock_ns() - began < self->delay_ns) {
    }
    sot_session_cancel(self->session);
    return NULL;
}

static void set_alarm(uint64_t delay_ns)
{
    struct itimerval timer = {.it_value.tv_usec = (suseconds_t)(delay_ns / 1000 % 1000000)};
    timer.it_value.tv_usec += delay_ns > 0 && timer.it_value.tv_usec == 0;
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* A request that came when the call was over is the next call's. */
static void use_up_request(sot_session *session)
{
    static float logits[1 << 16];
    const int32_t token = 5;
    sot_status status = sot_logits(session, &token, 1, logits);
    assert_true(status == SOT_OK || status == SOT_ERR_CANCELLED);
}

static outcome ask_and_cancel(const subject *self, size_t i_case, enum manner manner,
                              uint32_t i_event, uint64_t ns)
{
    sot_session *session = self->session;
    listener events = {.stop_at = manner <= BY_CALL_IN_EVENT ? i_event : 0,
                       .cancels = manner == BY_CALL_IN_EVENT ? session : NULL};
    late_call call = {.session = session, .delay_ns = ns};
    if (manner == BY_THREAD) {
        assert_int_equal(pthread_create(&call.thread, NULL, cancel_late, &call), 0);
    } else if (manner == BY_SIGNAL) {
        signalled = session;
        set_alarm(ns);
    }
    outcome out = ask(session, &self->cases[i_case].asked, listen, &events);
    if (manner == BY_THREAD) {
        assert_int_equal(pthread_join(call.thread, NULL), 0);
    } else if (manner == BY_SIGNAL) {
        set_alarm(0);
    }
    if (manner >= BY_THREAD) {
        use_up_request(session);
    }
    assert_int_equal(events.n_split, 0);
    return out;
}

static void cancel_and_go_on(const subject *self, size_t i_case, enum manner manner,
                             uint32_t i_event, uint64_t ns, uint32_t *n_cancelled)
{
    outcome out = ask_and_cancel(self, i_case, manner, i_event, ns);
    *n_cancelled += out.status == SOT_ERR_CANCELLED;
    if (out.status == SOT_OK) { /* it came too late to change anything */
        assert_true(out.hash == self->cases[i_case].hash);
    } else if (out.status != SOT_ERR_CANCELLED) {
        fail_msg("case %zu: status %d, %s", i_case, out.status, sot_error_message());
    }
    assert_true(out.has_answer);
    assert_true(out.is_utf8 || !self->cases[i_case].is_utf8);
    check_pages(self->session);
    listener quiet = {0};
    out = ask(self->session, &self->cases[i_case].asked, listen, &quiet);
    assert_int_equal(out.status, SOT_OK);
    assert_true(out.hash == self->cases[i_case].hash);
    check_pages(self->session);
}

static uint32_t run_count(void)
{
    const char *text = getenv("SOT_CANCELLATIONS");
    uint32_t n = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 0;
    return n > 0 ? n : N_RUNS;
}

static void show_progress(uint32_t i, uint32_t n, uint64_t began, uint64_t *shown)
{
    uint64_t now = soti_clock_ns();
    if (now - *shown > (uint64_t)PROGRESS_S * 1000000000) {
        *shown = now;
        double seconds = (double)(now - began) * 1e-9;
        print_message("%u of %u calls cancelled, %.0f s, %.0f s to go\n", i, n, seconds,
                      seconds / i * (n - i));
    }
}

static uint32_t sweep_size(const subject *self, uint32_t n)
{
    return self->n_events < n / 5 * 4 ? self->n_events : n / 2;
}

/* The next of n runs: first each event of each case in turn (where n is small, some of them), then
 * any moment of any case. */
static void cancel_next(subject *self, uint32_t n, uint32_t n_cancelled[MANNERS])
{
    const uint32_t i = self->n_runs++;
    const uint32_t n_sweep = sweep_size(self, n);
    size_t i_case = 0;
    if (i < n_sweep) {
        uint32_t i_event = (uint32_t)((uint64_t)i * self->n_events / n_sweep);
        while (i_event >= self->cases[i_case].n_events) {
            i_event -= self->cases[i_case++].n_events;
        }
        cancel_and_go_on(self, i_case, i % 2, i_event + 1, 0, &n_cancelled[i % 2]);
        return;
    }
    uint32_t words[4];
    soti_random_block(11, 0, i, words);
    i_case = words[0] % N_CASES;
    enum manner manner = words[1] % 8 < 2 ? words[1] % 8 : BY_THREAD + words[1] % 2;
    double share = (double)words[2] / 4294967296.0 * 1.1;
    cancel_and_go_on(self, i_case, manner, 1 + words[3] % self->cases[i_case].n_events,
                     (uint64_t)(share * (double)self->cases[i_case].ns), &n_cancelled[manner]);
}

/* Nothing is kept in pages, so what is out of the heap is the same each time. */
static void give_up_kept_pages(sot_session *session)
{
    use_up_request(session);
    while (soti_session_make_room(session)) {
    }
    check_pages(session);
}

static void session_cancelled_at_any_moment_goes_on(void **state)
{
    (void)state;
    const uint32_t n = run_count();
    uint32_t n_cancelled[MANNERS] = {0};
    long warm_kib = 0;
    uint64_t began = soti_clock_ns();
    uint64_t shown = began;
    ask_and_cancel(&demo, 0, BY_THREAD, 0, 0); /* libc keeps what a first thread has needed */
    give_up_kept_pages(demo.session);
    give_up_kept_pages(tiny.session);
    const long n_blocks = heap_blocks;
    const long n_bytes = heap_bytes;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t n_demo = (n + DEMO_SHARE - 1) / DEMO_SHARE;
        bool is_demo = i % DEMO_SHARE == 0;
        cancel_next(is_demo ? &demo : &tiny, is_demo ? n_demo : n - n_demo, n_cancelled);
        show_progress(i + 1, n, began, &shown);
        if (i + 1 == N_RUNS_WARM) {
            warm_kib = process_kib("VmRSS: %ld");
        }
    }
    long kib = process_kib("VmRSS: %ld");
    give_up_kept_pages(demo.session);
    give_up_kept_pages(tiny.session);
    for (int i = 0; i < MANNERS; i++) {
        print_message("%u cancelled %s\n", n_cancelled[i], manner_names[i]);
    }
    assert_true(n_cancelled[BY_EVENT] > 0 && n_cancelled[BY_CALL_IN_EVENT] > 0);
    assert_true(SANITIZED || n_cancelled[BY_THREAD] + n_cancelled[BY_SIGNAL] > 0);
    print_message("%u calls in %.0f s: %u of the demo model, by %u of %u events and %u times at "
                  "random; %u of a tiny one, by %u of %u events\n",
                  n, (double)(soti_clock_ns() - began) * 1e-9, demo.n_runs,
                  sweep_size(&demo, demo.n_runs), demo.n_events,
                  demo.n_runs - sweep_size(&demo, demo.n_runs), tiny.n_runs,
                  sweep_size(&tiny, tiny.n_runs), tiny.n_events);
    if (n >= N_RUNS_OF_ALL) {
        assert_int_equal(sweep_size(&demo, demo.n_runs), demo.n_events);
        assert_int_equal(sweep_size(&tiny, tiny.n_runs), tiny.n_events);
    }
    assert_int_equal(heap_blocks, n_blocks);
    assert_int_equal(heap_bytes, n_bytes);
    if (!SANITIZED && n > N_RUNS_WARM) {
        print_message("resident after %d calls: %ld KiB; since then %+ld KiB\n", N_RUNS_WARM,
                      warm_kib, kib - warm_kib);
        assert_true(kib - warm_kib <= warm_kib / 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_cancelled_at_any_moment_goes_on),
    };
    setvbuf(stdout, NULL, _IOLBF, 0); /* progress is to be seen in files and pipes, too */
    return cmocka_run_group_tests_name("cancellation", tests, setup, teardown);
}
