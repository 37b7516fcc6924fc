/* Lines edited on a terminal, by libedit. Where the program was built without it, editor_open gives
 * none. libedit and not GNU readline: its licence is BSD's, as permissive as this program's own. */
#ifndef SOT_COMMAND_EDITOR_H
#define SOT_COMMAND_EDITOR_H

#include "../shared/text.h"

/* NULL where there is no libedit, or it cannot work with this terminal. words: see lines_open. */
struct editor *editor_open(const char *const *words);
void editor_close(struct editor *editor); /* NULL: nothing */

/* As lines_read; *line is empty before. */
int editor_read(struct editor *editor, const char *prompt, struct text *line);

const char *editor_name(void);

#endif
