/* Signals: see interrupt.h. The handlers use lock-free atomics and sot_session_cancel, which the
 * library allows in a signal handler. */
#include "interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static _Atomic(sot_session *) running;
static atomic_int seen, continued;

static void on_interrupt(int number)
{
    (void)number;
    atomic_store(&seen, 1);
    sot_session_cancel(atomic_load(&running));
}

static void on_continue(int number)
{
    (void)number;
    atomic_store(&continued, 1);
}

static void catch_interrupt(void)
{
    struct sigaction old;
    /* Restarting: what is being printed is printed whole. Waiting for input is done with poll,
     * which a signal ends all the same. */
    struct sigaction interrupt = {.sa_handler = on_interrupt,
                                  .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&interrupt.sa_mask);
    if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGINT, &interrupt, NULL);
}

void interrupt_install(void)
{
    struct sigaction resume = {.sa_handler = on_continue, .sa_flags = SA_RESTART};
    sigemptyset(&resume.sa_mask);
    catch_interrupt();
    sigaction(SIGCONT, &resume, NULL);
}

void interrupt_session(sot_session *session)
{
    atomic_store(&running, session);
}

int interrupt_seen(void)
{
    return atomic_load(&seen);
}

void interrupt_forget(void)
{
    atomic_store(&seen, 0);
    catch_interrupt();
}

int interrupt_continued(void)
{
    return atomic_exchange(&continued, 0);
}
