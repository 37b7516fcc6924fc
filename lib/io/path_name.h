/* Paths: joining, last components, existence, and the sentence for a failed system call. */
#ifndef SOTI_IO_PATH_NAME_H
#define SOTI_IO_PATH_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "sot/status.h"

/* The part of path behind its last slash; path itself if there is none. For messages. */
const char *soti_path_base(const char *path);

/* folder/name, the caller's own. NULL: no memory (soti_fail was called). */
char *soti_path_join(const char *folder, const char *name);

/* *out: whether folder/name is there, whatever it is. Returns MEMORY, IO (it cannot be told). */
sot_status soti_path_exists(const char *folder, const char *name, bool *out);

/* Component i from the end (0: the last) of path, trailing slashes aside. Empty if there is none;
 * not NUL-terminated. */
const char *soti_path_component(const char *path, size_t i, size_t *size);

/* True if name names an entry of a folder and nothing outside it. */
bool soti_path_is_plain(const char *name);

/* "PATH: cannot be VERB: reason of error_number" as IO, as MEMORY for ENOMEM. */
sot_status soti_fail_io(const char *path, const char *verb, int error_number);

#endif
