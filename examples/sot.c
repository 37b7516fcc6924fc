/* The sot command: answers questions from a shell. sot(1) is its manual. Here are main and the
 * small subcommands; "sot ask" starts in sot/ask.c, "sot chat" in sot/talk.c, the live view in
 * sot/view.c. It is a client of the public header like any other program. */
#include <sot/sot.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sot/answer_json.h"
#include "sot/ask.h"
#include "sot/asker.h"
#include "sot/options.h"
#include "sot/lines.h"
#include "sot/report.h"
#include "sot/talk.h"

static int command_info(const struct options *options)
{
    sot_model *model;
    sot_model_info info = SOT_MODEL_INFO_INIT;
    sot_model_params params = SOT_MODEL_PARAMS_INIT;
    params.device = options->device ? options->device : "cpu"; /* where nothing is uploaded */
    sot_status status = sot_model_load(options->model, &params, &model);
    if (status == SOT_OK)
        status = sot_model_get_info(model, &info);
    if (status != SOT_OK) {
        sot_model_free(model);
        return library_failed(status);
    }
    if (options->json)
        print_json(model_json(&info));
    else
        print_model(&info);
    sot_model_free(model);
    return EXIT_DONE;
}

static int tokenize(const sot_model *model, const struct text *text, int bos)
{
    uint32_t flags = bos ? SOT_TOKENIZE_BOS : 0;
    size_t count;
    sot_status status = sot_tokenize(model, text->bytes, text->size, flags, NULL, 0, &count);
    if (status != SOT_OK && status != SOT_ERR_CAPACITY)
        return library_failed(status);
    int32_t *tokens = grow(NULL, (count + 1) * sizeof *tokens);
    status = sot_tokenize(model, text->bytes, text->size, flags, tokens, count, &count);
    for (size_t i = 0; status == SOT_OK && i < count; i++)
        printf("%d%c", tokens[i], i + 1 < count ? ' ' : '\n');
    free(tokens);
    return status == SOT_OK ? EXIT_DONE : library_failed(status);
}

static int command_tokenize(const struct options *options)
{
    struct text text = {0};
    sot_model *model = NULL;
    int code = input_read(options->argument, "text", &text);
    if (code < 0) {
        sot_model_params params = SOT_MODEL_PARAMS_INIT;
        params.device = "cpu";
        sot_status status = sot_model_load(options->model, &params, &model);
        code = status == SOT_OK ? tokenize(model, &text, options->bos) : library_failed(status);
    }
    sot_model_free(model);
    text_free(&text);
    return code;
}

/* A file opened later must not become standard output: closed descriptors are filled with ones that
 * fail when they are used. */
static void fill_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
            _exit(EXIT_FAILED);
}

/* A disk that is full or a pipe that is closed shows at the latest here. */
static int close_output(int code)
{
    int had_error = ferror(stdout);
    if (fclose(stdout) != 0 || had_error) {
        complain("cannot write to standard output: %s", strerror(errno));
        return code == EXIT_DONE ? EXIT_FAILED : code;
    }
    return code;
}

static int run(int argc, char **argv)
{
    static const struct {
        const char *name;
        unsigned command;
        int (*run)(const struct options *options);
    } commands[] = {{"ask", COMMAND_ASK, command_ask},
                    {"chat", COMMAND_CHAT, command_chat},
                    {"info", COMMAND_INFO, command_info},
                    {"tokenize", COMMAND_TOKENIZE, command_tokenize}};
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        complain("no command (see sot --help)");
        return EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_overview();
        return EXIT_DONE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("sot %s\nline editing: %s\n", sot_version_string(), lines_editor_name());
        return EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        struct options options;
        int code = options_parse(&options, commands[i].command, argc - 1, argv + 1);
        return code >= 0 ? code : commands[i].run(&options);
    }
    complain("unknown command '%s' (see sot --help)", name);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is reported as a failed write */
    return close_output(run(argc, argv));
}
