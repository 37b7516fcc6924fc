/* A model directory for a fuzz target: its entries are links to files in memory. */
#ifndef SOT_TESTS_FUZZ_FOLDER_H
#define SOT_TESTS_FUZZ_FOLDER_H

#include <errno.h>

#include "fuzz_input.h"

enum { FUZZ_FOLDER_FILES = 8 };

static struct {
    char path[64]; /* "": not yet made */
    size_t n_files;
    struct {
        fuzz_file file;
        char link[160];
    } files[FUZZ_FOLDER_FILES];
} fuzz_folder;

static inline void fuzz_folder_remove(void)
{
    for (size_t i = 0; i < fuzz_folder.n_files; i++) {
        unlink(fuzz_folder.files[i].link);
    }
    rmdir(fuzz_folder.path);
}

/* Puts a file of that name there, in the place of an earlier one. */
static inline void fuzz_folder_put(const char *name, const void *data, size_t size)
{
    char link[sizeof fuzz_folder.files[0].link];
    if (fuzz_folder.path[0] == '\0') {
        snprintf(fuzz_folder.path, sizeof fuzz_folder.path, "%s/sot-fuzz-XXXXXX", fuzz_scratch());
        fuzz_check(mkdtemp(fuzz_folder.path) != NULL && atexit(fuzz_folder_remove) == 0);
    }
    snprintf(link, sizeof link, "%s/%s", fuzz_folder.path, name);
    size_t i = 0;
    while (i < fuzz_folder.n_files && strcmp(fuzz_folder.files[i].link, link) != 0) {
        i++;
    }
    fuzz_check(i < FUZZ_FOLDER_FILES);
    const char *path = fuzz_file_put(&fuzz_folder.files[i].file, data, size);
    fuzz_check(symlink(path, link) == 0 || errno == EEXIST);
    if (i == fuzz_folder.n_files) {
        strcpy(fuzz_folder.files[i].link, link);
        fuzz_folder.n_files++;
    }
}

static inline void fuzz_folder_take(const char *name)
{
    char link[sizeof fuzz_folder.files[0].link];
    snprintf(link, sizeof link, "%s/%s", fuzz_folder.path, name);
    unlink(link);
}

#endif
