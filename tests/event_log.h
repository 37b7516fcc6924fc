/* Records what an event callback is told, checks what every event promises, and stops on demand. */
#ifndef SOT_TESTS_EVENT_LOG_H
#define SOT_TESTS_EVENT_LOG_H

#include <string.h>

#include "base/buffer.h"
#include "base/utf8.h"
#include "sot/sot.h"

enum { EVENT_POINTS_MAX = 96 };

typedef struct event_log {
    uint32_t n_events;
    uint32_t n_of_type[9];
    uint32_t stop_at; /* the event of this number, counted from 1, asks to stop; 0: none */
    sot_session *cancels;
    uint32_t cancel_at;    /* the event of this number cancels the session */
    uint32_t stages;       /* a decimal digit per stage, in order */
    soti_buffer texts[5];  /* by stage: what the TEXT events said */
    sot_decision decision; /* of the last DECISION event */
    soti_buffer outlines;  /* what the POINT events said: "index|text/" */
    soti_buffer expansions[EVENT_POINTS_MAX];
    uint32_t finishes[EVENT_POINTS_MAX];
    uint32_t n_ends[EVENT_POINTS_MAX];
    uint32_t n_done, n_total; /* of the last PREFILL event */
} event_log;

static inline void event_log_append(soti_buffer *buffer, const char *text, size_t size)
{
    assert_int_equal(soti_buffer_append(buffer, text, size), SOT_OK);
}

static inline int32_t event_log_record(const sot_event *event, void *user)
{
    event_log *log = user;
    assert_true(log->stop_at == 0 || log->n_events < log->stop_at); /* never called after it */
    log->n_events++;
    assert_int_equal(event->struct_size, sizeof *event);
    assert_in_range(event->type, SOT_EVENT_STAGE, SOT_EVENT_DECISION);
    assert_in_range(event->stage, SOT_STAGE_NORMAL, SOT_STAGE_ROUTE);
    assert_true(event->i_point < EVENT_POINTS_MAX);
    assert_non_null(event->text);
    assert_int_equal(event->text[event->text_size], '\0');
    assert_int_equal(soti_utf8_find_invalid(event->text, event->text_size), event->text_size);
    assert_int_equal(event->index != NULL, event->type == SOT_EVENT_POINT);
    assert_int_equal(event->decision != NULL, event->type == SOT_EVENT_DECISION);
    log->n_of_type[event->type]++;
    switch (event->type) {
    case SOT_EVENT_STAGE:
        log->stages = log->stages * 10 + event->stage;
        break;
    case SOT_EVENT_TEXT:
        assert_true(event->text_size > 0);
        event_log_append(&log->texts[event->stage], event->text, event->text_size);
        break;
    case SOT_EVENT_POINT:
        event_log_append(&log->outlines, event->index, strlen(event->index));
        event_log_append(&log->outlines, "|", 1);
        event_log_append(&log->outlines, event->text, event->text_size);
        event_log_append(&log->outlines, "/", 1);
        break;
    case SOT_EVENT_EXPANSION:
        assert_true(event->text_size > 0);
        assert_int_equal(log->n_ends[event->i_point], 0);
        event_log_append(&log->expansions[event->i_point], event->text, event->text_size);
        break;
    case SOT_EVENT_POINT_END:
        log->finishes[event->i_point] = event->finish;
        log->n_ends[event->i_point]++;
        break;
    case SOT_EVENT_DECISION:
        assert_int_equal(event->stage, SOT_STAGE_ROUTE);
        log->decision = *event->decision;
        break;
    default:
        log->n_done = event->n_done;
        log->n_total = event->n_total;
        assert_true(event->n_done <= event->n_total);
    }
    if (log->n_events == log->cancel_at) {
        sot_session_cancel(log->cancels);
    }
    return log->n_events == log->stop_at;
}

static inline void event_log_free(event_log *log)
{
    for (int i = 0; i < 5; i++) {
        soti_buffer_free(&log->texts[i]);
    }
    soti_buffer_free(&log->outlines);
    for (int i = 0; i < EVENT_POINTS_MAX; i++) {
        soti_buffer_free(&log->expansions[i]);
    }
    *log = (event_log){0};
}

#endif
