/* main() for a fuzz target without libFuzzer: gives it the bytes of each file named, and of each
 * file in each folder named. A finding ends the program as it would end the fuzzer. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, long long bytes)
{
    size_t size = (size_t)bytes;
    uint8_t *data = malloc(size > 0 ? size : 1); /* of its own, so that reading behind it shows */
    FILE *file = fopen(path, "rb");
    int failed = data == NULL || file == NULL || fread(data, 1, size, file) != size;
    if (failed) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    } else {
        fprintf(stderr, "%s\n", path); /* before: the last one named is the one that failed */
        LLVMFuzzerTestOneInput(data, size);
    }
    if (file != NULL) {
        fclose(file);
    }
    free(data);
    return failed;
}

static int replay(const char *path, int *n_files);

static int replay_folder(const char *path, int *n_files)
{
    struct dirent **names;
    int failed = 0;
    int n = scandir(path, &names, NULL, alphasort);
    if (n < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    for (int i = 0; i < n; i++) {
        char inner[4096];
        if (names[i]->d_name[0] != '.') {
            snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
            failed |= replay(inner, n_files);
        }
        free(names[i]);
    }
    free(names);
    return failed;
}

static int replay(const char *path, int *n_files)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    if (S_ISDIR(info.st_mode)) {
        return replay_folder(path, n_files);
    }
    ++*n_files;
    return replay_file(path, (long long)info.st_size);
}

int main(int argc, char **argv)
{
    int n_files = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed |= replay(argv[i], &n_files);
    }
    if (n_files == 0) {
        fprintf(stderr, "usage: %s FILE|FOLDER...: no files\n", argv[0]);
        return 2;
    }
    printf("%d files replayed\n", n_files);
    return failed;
}
