/* The router of a run: see run_router.h. */
#include "run_router.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../shared/json_values.h"
#include "../shared/program.h"
#include "../shared/question_list.h"
#include "../shared/text.h"

/* The digest of a file's bytes, NULL after having said why there is none. */
static json_t *digest_of(const char *path)
{
    FILE *stream = fopen(path, "rb");
    uint64_t digest = FNV_BEGIN;
    char block[4096];
    size_t size;
    while (stream && (size = fread(block, 1, sizeof block, stream)) > 0)
        digest = fnv_add(digest, block, size);
    int failed = !stream || ferror(stream);
    if (failed)
        complain("%s: %s", path, strerror(errno));
    if (stream)
        fclose(stream);
    return failed ? NULL : json_sprintf("fnv1a64:%016" PRIx64, digest);
}

static int set_file_facts(json_t *facts, const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *file = slash ? slash + 1 : path;
    json_t *digest = path ? digest_of(path) : json_null();
    json_object_set_new(facts, "file", file ? json_name(file) : json_null());
    json_object_set_new(facts, "digest", digest ? digest : json_null());
    return digest != NULL;
}

int run_router_open(struct run_router *router, const struct run_options *options,
                    sot_generate_params *params)
{
    const char *name = options->router;
    *router = (struct run_router){0};
    int code = router_choose(params, &name, options->router_path);
    if (code >= 0)
        return code;
    if (options->concurrent)
        params->flags |= SOT_GENERATE_CONCURRENT;
    if (!run_options_have(options, "routed")) {
        if (options->router || options->router_path || options->concurrent) {
            complain("a router is for mode routed: --modes normal,sot,routed");
            return EXIT_USAGE;
        }
        return -1;
    }
    router->facts = json_pack("{s:s, s:b}", "router", name, "concurrent", options->concurrent);
    if (params->router == SOT_ROUTER_TRAINED) {
        if (!set_file_facts(router->facts, options->router_path))
            return EXIT_FAILED;
        sot_status status = sot_router_load(options->router_path, &router->trained);
        if (status != SOT_OK)
            return exit_code_of(status);
        params->trained_router = router->trained;
    }
    return -1;
}

void run_router_close(struct run_router *router)
{
    sot_router_free(router->trained);
    json_decref(router->facts);
    *router = (struct run_router){0};
}
