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
    N_RUNS = SANITIZED ? 60 : 150,
    N_RUNS_WARM = 1000, /* until every page of the session has been touched */
    PROGRESS_S = 10
};

enum manner { BY_EVENT, BY_CALL_IN_EVENT, BY_THREAD, BY_SIGNAL, MANNERS };

static const char *const manner_names[MANNERS] = {"by the callback", "by a call in the callback",
                                                  "by a thread", "by a signal's handler"};

/* What a case comes to when nobody interferes, on a session of its own. */
static struct {
    question_case asked;
    uint64_t hash;
    uint32_t n_events;
    uint64_t ns;
} cases[N_CASES];

static sot_model *model;
static sot_session *session;
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

static int setup(void **state)
{
    (void)state;
    if (sot_model_load(demo_path, NULL, &model) != SOT_OK) {
        return -1;
    }
    for (uint64_t i = 0; i < N_CASES; i++) {
        listener quiet = {0};
        sot_session *fresh = NULL;
        cases[i].asked = make_case(i);
        assert_int_equal(open_demo_session(model, &fresh), SOT_OK);
        uint64_t began = soti_clock_ns();
        outcome out = ask(fresh, &cases[i].asked, listen, &quiet);
        cases[i].ns = soti_clock_ns() - began;
        cases[i].hash = out.hash;
        cases[i].n_events = quiet.n_events;
        assert_int_equal(out.status, SOT_OK);
        assert_true(out.is_utf8);
        assert_int_equal(quiet.n_split, 0);
        sot_session_free(fresh);
    }
    signal(SIGALRM, cancel_in_handler);
    return open_demo_session(model, &session);
}

static int teardown(void **state)
{
    (void)state;
    sot_session_free(session);
    sot_model_free(model);
    return 0;
}

/* Free pages and those that kept sequences hold, each once, are all there are (KV-4). */
static void check_pages(void)
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
static void use_up_request(void)
{
    static float logits[1 << 16];
    const int32_t token = 5;
    sot_status status = sot_logits(session, &token, 1, logits);
    assert_true(status == SOT_OK || status == SOT_ERR_CANCELLED);
}

static outcome ask_and_cancel(size_t i_case, enum manner manner, uint32_t i_event, uint64_t ns)
{
    listener events = {.stop_at = manner <= BY_CALL_IN_EVENT ? i_event : 0,
                       .cancels = manner == BY_CALL_IN_EVENT ? session : NULL};
    late_call call = {.session = session, .delay_ns = ns};
    if (manner == BY_THREAD) {
        assert_int_equal(pthread_create(&call.thread, NULL, cancel_late, &call), 0);
    } else if (manner == BY_SIGNAL) {
        signalled = session;
        set_alarm(ns);
    }
    outcome out = ask(session, &cases[i_case].asked, listen, &events);
    if (manner == BY_THREAD) {
        assert_int_equal(pthread_join(call.thread, NULL), 0);
    } else if (manner == BY_SIGNAL) {
        set_alarm(0);
    }
    if (manner >= BY_THREAD) {
        use_up_request();
    }
    assert_int_equal(events.n_split, 0);
    return out;
}

static void cancel_and_go_on(size_t i_case, enum manner manner, uint32_t i_event, uint64_t ns,
                             uint32_t *n_cancelled)
{
    outcome out = ask_and_cancel(i_case, manner, i_event, ns);
    *n_cancelled += out.status == SOT_ERR_CANCELLED;
    if (out.status == SOT_OK) { /* it came too late to change anything */
        assert_true(out.hash == cases[i_case].hash);
    } else if (out.status != SOT_ERR_CANCELLED) {
        fail_msg("case %zu: status %d, %s", i_case, out.status, sot_error_message());
    }
    assert_true(out.has_answer);
    assert_true(out.is_utf8);
    check_pages();
    listener quiet = {0};
    out = ask(session, &cases[i_case].asked, listen, &quiet);
    assert_int_equal(out.status, SOT_OK);
    assert_true(out.hash == cases[i_case].hash);
    check_pages();
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

/* Run i of n: first each event of each case in turn (where n is small, some of them), then any
 * moment of any case. */
static void cancel_run(uint32_t i, uint32_t n, uint32_t n_cancelled[MANNERS])
{
    uint32_t n_events = 0;
    for (size_t j = 0; j < N_CASES; j++) {
        n_events += cases[j].n_events;
    }
    uint32_t n_sweep = n_events < n / 2 ? n_events : n / 2;
    if (i < n_sweep) {
        uint32_t i_event = (uint32_t)((uint64_t)i * n_events / n_sweep);
        size_t i_case = 0;
        while (i_event >= cases[i_case].n_events) {
            i_event -= cases[i_case++].n_events;
        }
        cancel_and_go_on(i_case, i % 2, i_event + 1, 0, &n_cancelled[i % 2]);
        return;
    }
    uint32_t words[4];
    soti_random_block(11, 0, i, words);
    size_t i_case = words[0] % N_CASES;
    enum manner manner = words[1] % 8 < 2 ? words[1] % 8 : BY_THREAD + words[1] % 2;
    uint64_t ns = (uint64_t)((double)words[2] / 4294967296.0 * 1.1 * (double)cases[i_case].ns);
    cancel_and_go_on(i_case, manner, 1 + words[3] % cases[i_case].n_events, ns,
                     &n_cancelled[manner]);
}

/* Nothing is kept in pages, so what is out of the heap is the same each time. */
static void give_up_kept_pages(void)
{
    use_up_request();
    while (soti_session_make_room(session)) {
    }
    check_pages();
}

static void session_cancelled_at_any_moment_goes_on(void **state)
{
    (void)state;
    const uint32_t n = run_count();
    uint32_t n_cancelled[MANNERS] = {0};
    long warm_kib = 0;
    uint64_t began = soti_clock_ns();
    uint64_t shown = began;
    ask_and_cancel(0, BY_THREAD, 0, 0); /* libc keeps what a first thread has needed */
    give_up_kept_pages();
    const long n_blocks = heap_blocks;
    const long n_bytes = heap_bytes;
    for (uint32_t i = 0; i < n; i++) {
        cancel_run(i, n, n_cancelled);
        show_progress(i + 1, n, began, &shown);
        if (i + 1 == N_RUNS_WARM) {
            warm_kib = process_kib("VmRSS: %ld");
        }
    }
    long kib = process_kib("VmRSS: %ld");
    give_up_kept_pages();
    for (int i = 0; i < MANNERS; i++) {
        print_message("%u cancelled %s\n", n_cancelled[i], manner_names[i]);
        assert_true(n_cancelled[i] > 0);
    }
    print_message("%u calls in %.0f s\n", n, (double)(soti_clock_ns() - began) * 1e-9);
    assert_int_equal(heap_blocks, n_blocks);
    assert_int_equal(heap_bytes, n_bytes);
    if (!SANITIZED && n > N_RUNS_WARM) {
        print_message("%ld KiB resident after %d of them, %+ld KiB since\n", warm_kib, N_RUNS_WARM,
                      kib - warm_kib);
        assert_true(kib - warm_kib <= warm_kib / 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(session_cancelled_at_any_moment_goes_on),
    };
    return cmocka_run_group_tests_name("cancellation", tests, setup, teardown);
}
