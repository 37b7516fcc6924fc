/* Mapping and reading regular files, and refusing everything else without waiting for it. */
#include "model_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "io/filemap.h"

static soti_filemap map;

/* Mapped or read: what is refused is the same. */
static sot_status take(bool reads, const char *path)
{
    return reads ? soti_filemap_read(path, 0, NULL, &map) : soti_filemap_open(path, &map);
}

static void check_map_refused(const char *path, sot_status status, const char *part)
{
    for (int reads = 0; reads < 2; reads++) {
        memset(&map, 0xA5, sizeof map);
        assert_int_equal(take(reads, path), status);
        assert_non_null(strstr(soti_fail_message(), path));
        assert_non_null(strstr(soti_fail_message(), part));
        assert_null(map.path);
        assert_null(map.data);
        assert_int_equal(map.size, 0);
        soti_filemap_close(&map);
    }
}

static void filemap_regular_file_is_taken_whole(void **state)
{
    (void)state;
    static uint8_t data[10000];
    static const size_t sizes[] = {1, 4095, 4096, 4097, 10000};
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7 + i / 256);
    }
    for (size_t i = 0; i < 2 * (sizeof sizes / sizeof sizes[0]); i++) {
        const char *path = path_of("file");
        write_file(path, data, sizes[i / 2]);
        assert_int_equal(take(i % 2, path), SOT_OK);
        assert_string_equal(map.path, path);
        assert_int_equal(map.size, sizes[i / 2]);
        assert_memory_equal(map.data, data, sizes[i / 2]);
        soti_filemap_close(&map);
        assert_null(map.data);
        soti_filemap_close(&map);
    }
}

static void filemap_link_to_a_file_is_followed(void **state)
{
    (void)state;
    write_file(path_of("blob"), "abc", 3);
    assert_int_equal(symlink("blob", path_of("link")), 0);
    assert_int_equal(soti_filemap_open(path_of("link"), &map), SOT_OK);
    assert_memory_equal(map.data, "abc", 3);
    soti_filemap_close(&map);
    assert_int_equal(symlink("nothing", path_of("dangling")), 0);
    check_map_refused(path_of("dangling"), SOT_ERR_IO, "cannot be opened");
}

static void filemap_what_is_no_file_is_refused_without_waiting(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    alarm(20); /* an open that blocks ends the test */
    assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
    check_map_refused(path_of("fifo"), SOT_ERR_IO, "a FIFO");
    check_map_refused(test_folder, SOT_ERR_IO, "a directory");
    check_map_refused("/dev/null", SOT_ERR_IO, "a device");
    check_map_refused("/dev/zero", SOT_ERR_IO, "a device");
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path_of("socket"));
    assert_int_equal(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    check_map_refused(path_of("socket"), SOT_ERR_IO, "socket"); /* open itself fails on Linux */
    close(descriptor);
    alarm(0);
}

static void filemap_missing_empty_or_unreachable_is_named(void **state)
{
    (void)state;
    check_map_refused(path_of("missing"), SOT_ERR_IO, "cannot be opened: No such file");
    check_map_refused("", SOT_ERR_IO, "cannot be opened");
    write_file(path_of("empty"), "", 0);
    check_map_refused(path_of("empty"), SOT_ERR_FORMAT, "the file is empty");
    check_map_refused(path_of("empty/below"), SOT_ERR_IO, "cannot be opened");
}

static void filemap_larger_than_the_address_space_is_refused(void **state)
{
    (void)state;
    int descriptor = memfd_create("large", MFD_CLOEXEC);
    char path[64];
    if (descriptor < 0 || ftruncate(descriptor, (off_t)1 << 58) != 0) {
        print_message("no file of 2^58 bytes can be made here\n");
        close(descriptor);
        skip();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    check_map_refused(path, SOT_ERR_MEMORY, "be mapped");
    close(descriptor);
}

static void filemap_allocation_may_fail(void **state)
{
    (void)state;
    write_file(path_of("file"), "abc", 3);
    for (int reads = 0; reads < 2; reads++) {
        for (long n = 0; n <= reads; n++) { /* the path's copy; the bytes' memory */
            soti_alloc_fail_at(n);
            assert_int_equal(take(reads, path_of("file")), SOT_ERR_MEMORY);
            assert_true(soti_alloc_fail_at(-1) < 0);
            assert_null(map.data);
        }
    }
}

/* Progress that writes to the file, or asks to stop, as soon as it has heard something. */
typedef struct meddler {
    const char *path;
    off_t new_size; /* negative: the size stays, and a byte is written */
    int32_t stops;
    uint64_t done, total;
} meddler;

static int32_t meddle(uint64_t done, uint64_t total, void *user)
{
    meddler *self = user;
    self->done = done;
    self->total = total;
    if (self->path != NULL && self->new_size >= 0) {
        assert_int_equal(truncate(self->path, self->new_size), 0);
    } else if (self->path != NULL) {
        FILE *file = fopen(self->path, "r+b");
        assert_non_null(file);
        assert_int_equal(fputc('x', file), 'x');
        assert_int_equal(fclose(file), 0);
        const struct timespec later[2] = {{.tv_sec = 4000000000}, {.tv_sec = 4000000000}};
        assert_int_equal(utimensat(AT_FDCWD, self->path, later, 0), 0); /* clocks are coarse */
    }
    return self->stops;
}

static void filemap_changed_while_it_is_read_is_io(void **state)
{
    (void)state;
    static const struct {
        off_t new_size;
        const char *words;
    } cases[] = {{2, "had 3 bytes when it was opened and has 2 now"},
                 {4, "had 3 bytes when it was opened and has 4 now"},
                 {0, "had 3 bytes when it was opened and has 0 now"},
                 {-1, "was written to while it was being read"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        meddler other = {.path = path_of("file"), .new_size = cases[i].new_size};
        soti_file_progress progress = {.fn = meddle, .user = &other, .total_bytes = 3};
        write_file(path_of("file"), "abc", 3);
        assert_int_equal(soti_filemap_read(path_of("file"), 0, &progress, &map), SOT_ERR_IO);
        assert_non_null(strstr(soti_fail_message(), cases[i].words));
        assert_null(map.data);
    }
}

static void filemap_read_reports_bytes_and_can_be_cancelled(void **state)
{
    (void)state;
    static uint8_t data[5000];
    meddler listener = {0};
    soti_file_progress progress = {
        .fn = meddle, .user = &listener, .done_bytes = 100, .total_bytes = 6000};
    write_file(path_of("file"), data, sizeof data);
    assert_int_equal(soti_filemap_read(path_of("file"), 0, &progress, &map), SOT_OK);
    assert_int_equal(listener.done, 5100);
    assert_int_equal(listener.total, 6000);
    soti_filemap_close(&map);
    listener.stops = 1;
    assert_int_equal(soti_filemap_read(path_of("file"), 0, &progress, &map), SOT_ERR_CANCELLED);
    assert_non_null(strstr(soti_fail_message(), path_of("file")));
    assert_null(map.data);
}

static void filemap_of_more_bytes_than_wanted_is_not_read(void **state)
{
    (void)state;
    meddler listener = {0};
    soti_file_progress progress = {.fn = meddle, .user = &listener};
    write_file(path_of("file"), "abc", 3);
    assert_int_equal(soti_filemap_read(path_of("file"), 3, &progress, &map), SOT_OK);
    soti_filemap_close(&map);
    listener = (meddler){0};
    assert_int_equal(soti_filemap_read(path_of("file"), 2, &progress, &map), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), path_of("file")));
    assert_non_null(strstr(soti_fail_message(), "has 3 bytes; at most 2 are allowed"));
    assert_int_equal(listener.done, 0);
    assert_null(map.path);
}

static void filemap_read_any_takes_an_empty_file(void **state)
{
    (void)state;
    write_file(path_of("file"), "", 0);
    assert_int_equal(soti_filemap_read_any(path_of("file"), &map), SOT_OK);
    assert_string_equal(map.path, path_of("file"));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    soti_filemap_close(&map);
    write_file(path_of("file"), "abc", 3);
    assert_int_equal(soti_filemap_read_any(path_of("file"), &map), SOT_OK);
    assert_memory_equal(map.data, "abc", 3);
    soti_filemap_close(&map);
    assert_int_equal(soti_filemap_read_any(test_folder, &map), SOT_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filemap_regular_file_is_taken_whole),
        cmocka_unit_test(filemap_link_to_a_file_is_followed),
        cmocka_unit_test(filemap_what_is_no_file_is_refused_without_waiting),
        cmocka_unit_test(filemap_missing_empty_or_unreachable_is_named),
        cmocka_unit_test(filemap_larger_than_the_address_space_is_refused),
        cmocka_unit_test(filemap_allocation_may_fail),
        cmocka_unit_test(filemap_changed_while_it_is_read_is_io),
        cmocka_unit_test(filemap_read_reports_bytes_and_can_be_cancelled),
        cmocka_unit_test(filemap_of_more_bytes_than_wanted_is_not_read),
        cmocka_unit_test(filemap_read_any_takes_an_empty_file),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
