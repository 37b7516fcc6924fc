/* Files that are written as a whole or not at all. */
#include "model_files.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "io/file_out.h"

enum { MIB = 1 << 20 };

static size_t count_entries(void)
{
    size_t n = 0;
    DIR *folder = opendir(test_folder);
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        n++;
    }
    closedir(folder);
    return n - 2; /* . and .. */
}

static void check_content(const char *path, const void *data, size_t size)
{
    static uint8_t found[4 * MIB];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(found, 1, sizeof found, file), size);
    assert_memory_equal(found, data, size);
    fclose(file);
}

static int empty_folder(void **state)
{
    folder_teardown(state);
    return mkdir(test_folder, 0700);
}

static void out_pieces_of_any_size_come_out_in_order(void **state)
{
    (void)state;
    static uint8_t data[3 * MIB + 77];
    static const size_t pieces[] = {0, 1,   MIB - 1, MIB,        3, MIB + 1,
                                    0, 100, MIB - 5, sizeof data}; /* the last: what is left */
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 31 + i / 251);
    }
    for (size_t limit = 1; limit <= 3 * MIB; limit *= 97) { /* and pieces of one size */
        soti_file_out out;
        size_t done = 0;
        assert_int_equal(soti_file_out_open(path_of("a"), &out), SOT_OK);
        for (size_t i = 0; done < sizeof data; i++) {
            size_t n = limit > 1 ? limit : pieces[i];
            n = n < sizeof data - done ? n : sizeof data - done;
            assert_int_equal(soti_file_out_put(&out, data + done, n), SOT_OK);
            done += n;
        }
        assert_int_equal(soti_file_out_commit(&out), SOT_OK);
        soti_file_out_close(&out);
        check_content(path_of("a"), data, sizeof data);
        assert_int_equal(count_entries(), 1);
    }
}

static void out_not_committed_leaves_the_old_file(void **state)
{
    (void)state;
    soti_file_out out;
    write_file(path_of("a"), "old", 3);
    assert_int_equal(soti_file_out_open(path_of("a"), &out), SOT_OK);
    assert_int_equal(soti_file_out_put(&out, "newer", 5), SOT_OK);
    check_content(path_of("a"), "old", 3);
    assert_int_equal(count_entries(), 2);
    soti_file_out_close(&out);
    soti_file_out_close(&out); /* closed: nothing */
    check_content(path_of("a"), "old", 3);
    assert_int_equal(count_entries(), 1);
}

static void out_committed_replaces_the_old_file(void **state)
{
    (void)state;
    soti_file_out out;
    struct stat status;
    write_file(path_of("a"), "old", 3);
    mode_t mask = umask(027);
    assert_int_equal(soti_file_out_open(path_of("a"), &out), SOT_OK);
    umask(mask);
    assert_int_equal(soti_file_out_put(&out, "newer", 5), SOT_OK);
    assert_int_equal(soti_file_out_commit(&out), SOT_OK);
    soti_file_out_close(&out);
    check_content(path_of("a"), "newer", 5);
    assert_int_equal(stat(path_of("a"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640); /* as the host's umask says */
}

static void out_two_writers_of_one_path_do_not_meet(void **state)
{
    (void)state;
    soti_file_out first;
    soti_file_out second;
    assert_int_equal(soti_file_out_open(path_of("a"), &first), SOT_OK);
    assert_int_equal(soti_file_out_open(path_of("a"), &second), SOT_OK);
    assert_int_equal(soti_file_out_put(&first, "first", 5), SOT_OK);
    assert_int_equal(soti_file_out_put(&second, "second", 6), SOT_OK);
    assert_int_equal(soti_file_out_commit(&first), SOT_OK);
    check_content(path_of("a"), "first", 5);
    assert_int_equal(soti_file_out_commit(&second), SOT_OK);
    check_content(path_of("a"), "second", 6);
    soti_file_out_close(&first);
    soti_file_out_close(&second);
    assert_int_equal(count_entries(), 1);
}

static void check_open_refused(const char *path, const char *part)
{
    soti_file_out out;
    memset(&out, 0xA5, sizeof out);
    assert_int_equal(soti_file_out_open(path, &out), SOT_ERR_IO);
    if (strstr(soti_fail_message(), path) == NULL || strstr(soti_fail_message(), part) == NULL) {
        fail_msg("\"%s\" has no \"%s\"", soti_fail_message(), part);
    }
    soti_file_out_close(&out);
}

static void out_path_that_cannot_be_a_file_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    check_open_refused(path_of("fifo"), "not a regular file");
    check_open_refused(test_folder, "not a regular file");
    check_open_refused("/dev/null", "not a regular file");
    check_open_refused(path_of("none/a"), "cannot be created: No such file or directory");
    check_open_refused(path_of("fifo/a"), "Not a directory");
    assert_int_equal(count_entries(), 1);
}

/* A full disk, as far as one can be had without being root: the system refuses to let a file grow.
 */
static void out_full_disk_is_said_and_leaves_nothing(void **state)
{
    (void)state;
    static uint8_t data[2 * MIB];
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = {.rlim_cur = MIB + MIB / 2, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int small_pieces = 0; small_pieces < 2; small_pieces++) {
        soti_file_out out;
        sot_status status = soti_file_out_open(path_of("a"), &out);
        assert_int_equal(status, SOT_OK);
        size_t n = small_pieces ? 1000 : sizeof data;
        for (size_t done = 0; done < sizeof data && status == SOT_OK; done += n) {
            status = soti_file_out_put(&out, data, n);
        }
        status = status == SOT_OK ? soti_file_out_commit(&out) : status;
        assert_int_equal(status, SOT_ERR_IO);
        assert_non_null(strstr(soti_fail_message(), path_of("a")));
        assert_non_null(strstr(soti_fail_message(), "cannot be written: File too large"));
        soti_file_out_close(&out);
        assert_int_equal(count_entries(), 0);
    }
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
}

static void out_target_that_became_a_folder_is_said(void **state)
{
    (void)state;
    soti_file_out out;
    assert_int_equal(soti_file_out_open(path_of("a"), &out), SOT_OK);
    assert_int_equal(mkdir(path_of("a"), 0700), 0);
    assert_int_equal(soti_file_out_commit(&out), SOT_ERR_IO);
    assert_non_null(strstr(soti_fail_message(), "cannot be put in place"));
    soti_file_out_close(&out);
    assert_int_equal(count_entries(), 1);
}

static void out_path_without_folder_is_in_the_current_one(void **state)
{
    (void)state;
    char before[4096];
    soti_file_out out;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(test_folder), 0);
    assert_int_equal(soti_file_out_open("plain", &out), SOT_OK);
    assert_int_equal(soti_file_out_put(&out, "x", 1), SOT_OK);
    assert_int_equal(soti_file_out_commit(&out), SOT_OK);
    soti_file_out_close(&out);
    assert_int_equal(chdir(before), 0);
    check_content(path_of("plain"), "x", 1);
}

static void out_open_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (long n = 0; n < 2; n++) {
        soti_file_out out;
        soti_alloc_fail_at(n);
        assert_int_equal(soti_file_out_open(path_of("a"), &out), SOT_ERR_MEMORY);
        soti_alloc_fail_at(-1);
        soti_file_out_close(&out);
        assert_int_equal(count_entries(), 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, empty_folder)
    const struct CMUnitTest tests[] = {
        TEST(out_pieces_of_any_size_come_out_in_order),
        TEST(out_not_committed_leaves_the_old_file),
        TEST(out_committed_replaces_the_old_file),
        TEST(out_two_writers_of_one_path_do_not_meet),
        TEST(out_path_that_cannot_be_a_file_is_refused),
        TEST(out_full_disk_is_said_and_leaves_nothing),
        TEST(out_target_that_became_a_folder_is_said),
        TEST(out_path_without_folder_is_in_the_current_one),
        TEST(out_open_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
