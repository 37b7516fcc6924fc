/* What is being measured now: one line on standard error that is written anew, where that is a
 * terminal; nothing elsewhere. */
#ifndef SOT_BENCH_PROGRESS_H
#define SOT_BENCH_PROGRESS_H

#include <stdint.h>

void progress_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A sot_progress_fn; user is what is being done, in words. Non-zero once there was a Ctrl-C. */
int32_t progress_bytes(uint64_t done_bytes, uint64_t total_bytes, void *user);
void progress_clear(void);

#endif
