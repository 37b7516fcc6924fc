/* Ctrl-C. The first one asks the library to stop and to keep what it has; the second one ends the
 * program the usual way. Where the caller had the signal ignored (nohup), it stays ignored. */
#ifndef SOT_SHARED_INTERRUPT_H
#define SOT_SHARED_INTERRUPT_H

#include <sot/sot.h>

void interrupt_install(void);
/* The session that is to be cancelled from now on; NULL for none. */
void interrupt_session(sot_session *session);
/* 1 once there was a Ctrl-C. */
int interrupt_seen(void);
/* Forgets that there was one: the next is the first again. */
void interrupt_forget(void);
/* 1 if the program was stopped (Ctrl-Z) and continued since the last call. */
int interrupt_continued(void);

#endif
