/* Interpolation between measured cells against values worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "sot/profile_grid.h"

/*        k    10   20   40
 * B 2        100  120  200
 *   4         -   300   -
 *   8        500   -   700 */
static const uint32_t batches[] = {2, 4, 8};
static const uint32_t lengths[] = {10, 20, 40};
static const uint64_t cells[] = {100, 120, 200, 0, 300, 0, 500, 0, 700};

static soti_profile_grid make_grid(void)
{
    soti_profile_grid grid;
    assert_int_equal(soti_grid_create(batches, 3, lengths, 3, &grid), SOT_OK);
    for (uint32_t i = 0; i < 9; i++) {
        grid.ns[i] = cells[i];
    }
    return grid;
}

typedef struct lookup {
    double batch, length, ns;
    bool outside;
} lookup;

static void check(const soti_profile_grid *grid, const lookup *lookups, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool outside = false;
        double ns = soti_grid_at(grid, lookups[i].batch, lookups[i].length, &outside);
        if (ns < lookups[i].ns - 1e-9 || ns > lookups[i].ns + 1e-9 ||
            outside != lookups[i].outside) {
            fail_msg("at (%g, %g): %g, outside %d; expected %g, %d", lookups[i].batch,
                     lookups[i].length, ns, outside, lookups[i].ns, lookups[i].outside);
        }
    }
}

static void grid_cells_are_found_as_they_are(void **state)
{
    (void)state;
    soti_profile_grid grid = make_grid();
    const lookup lookups[] = {{2, 10, 100, false}, {2, 20, 120, false}, {2, 40, 200, false},
                              {4, 20, 300, false}, {8, 10, 500, false}, {8, 40, 700, false}};
    check(&grid, lookups, sizeof lookups / sizeof *lookups);
    assert_int_equal(soti_grid_count(&grid), 6);
    assert_int_equal(*soti_grid_find(&grid, 4, 20), 300);
    assert_null(soti_grid_find(&grid, 3, 20));
    assert_null(soti_grid_find(&grid, 1, 20));
    assert_null(soti_grid_find(&grid, 4, 41));
    soti_grid_free(&grid);
}

static void grid_between_cells_is_linear_along_each_axis(void **state)
{
    (void)state;
    soti_profile_grid grid = make_grid();
    const lookup lookups[] = {
        {2, 15, 110, false},
        {2, 30, 160, false},
        {8, 20, 500 + 200.0 / 3, false}, /* over the missing cell */
        {3, 20, (120 + 300) / 2.0, false},
        {5, 20, 300 + (500 + 200.0 / 3 - 300) / 4, false},
        {2.5, 20, 120 + 180 * 0.25, false},
    };
    check(&grid, lookups, sizeof lookups / sizeof *lookups);
    soti_grid_free(&grid);
}

static void grid_beyond_the_cells_goes_on_straight_and_says_so(void **state)
{
    (void)state;
    soti_profile_grid grid = make_grid();
    const lookup lookups[] = {
        {2, 60, 280, true},               /* 120, 200, and on */
        {2, 5, 100, true},                /* below: the smallest */
        {1, 10, 100, true},               /* likewise */
        {4, 40, 300, true},               /* one cell: no slope */
        {3, 40, (200 + 300) / 2.0, true}, /* through a value that lies beyond */
        {12, 20, 300 + (500 + 200.0 / 3 - 300) * 2, true},
    };
    check(&grid, lookups, sizeof lookups / sizeof *lookups);
    soti_grid_free(&grid);
}

static void grid_that_falls_does_not_fall_on_beyond_its_end(void **state)
{
    (void)state;
    soti_profile_grid grid = make_grid();
    grid.ns[2] = 110; /* less than the 120 before it */
    const lookup lookups[] = {{2, 30, 115, false}, {2, 4000, 110, true}};
    check(&grid, lookups, sizeof lookups / sizeof *lookups);
    soti_grid_free(&grid);
}

static void grid_of_one_cell_is_that_cell(void **state)
{
    (void)state;
    soti_profile_grid grid = make_grid();
    for (uint32_t i = 0; i < 9; i++) {
        grid.ns[i] = i == 4 ? 300 : 0;
    }
    const lookup lookups[] = {{4, 20, 300, false}, {9, 20, 300, true}, {1, 1, 300, true}};
    check(&grid, lookups, sizeof lookups / sizeof *lookups);
    soti_grid_free(&grid);
}

static void grid_without_cells_is_zero_and_outside(void **state)
{
    (void)state;
    soti_profile_grid grid = make_grid();
    for (uint32_t i = 0; i < 9; i++) {
        grid.ns[i] = 0;
    }
    const lookup nothing = {4, 20, 0, true};
    check(&grid, &nothing, 1);
    soti_grid_free(&grid);
    check(&grid, &nothing, 1);
    assert_int_equal(soti_grid_create(batches, 0, lengths, 0, &grid), SOT_OK);
    check(&grid, &nothing, 1);
    assert_null(soti_grid_find(&grid, 4, 20));
    soti_grid_free(&grid);
}

static void grid_outside_is_never_taken_back(void **state)
{
    (void)state;
    soti_profile_grid grid = make_grid();
    bool outside = true;
    soti_grid_at(&grid, 2, 10, &outside);
    assert_true(outside);
    soti_grid_free(&grid);
}

static void grid_copy_is_its_own(void **state)
{
    (void)state;
    soti_profile_grid grid = make_grid();
    soti_profile_grid copy;
    assert_int_equal(soti_grid_copy(&grid, &copy), SOT_OK);
    grid.ns[0] = 1;
    assert_int_equal(copy.ns[0], 100);
    assert_int_equal(soti_grid_count(&copy), 6);
    soti_grid_free(&copy);
    for (long n = 0; n < 3; n++) {
        soti_alloc_fail_at(n);
        assert_int_equal(soti_grid_copy(&grid, &copy), SOT_ERR_MEMORY);
        assert_true(soti_alloc_fail_at(-1) < 0);
        soti_grid_free(&copy);
    }
    soti_grid_free(&grid);
    assert_int_equal(soti_grid_copy(&grid, &copy), SOT_OK); /* of nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grid_cells_are_found_as_they_are),
        cmocka_unit_test(grid_between_cells_is_linear_along_each_axis),
        cmocka_unit_test(grid_beyond_the_cells_goes_on_straight_and_says_so),
        cmocka_unit_test(grid_that_falls_does_not_fall_on_beyond_its_end),
        cmocka_unit_test(grid_of_one_cell_is_that_cell),
        cmocka_unit_test(grid_without_cells_is_zero_and_outside),
        cmocka_unit_test(grid_outside_is_never_taken_back),
        cmocka_unit_test(grid_copy_is_its_own),
    };
    return cmocka_run_group_tests_name("profile grid", tests, NULL, NULL);
}
