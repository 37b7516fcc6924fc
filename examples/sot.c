/* The sot command: answers questions from a shell. sot(1) is its manual. Here are the table of
 * commands and the small ones; "sot ask" starts in sot/ask.c, "sot chat" in sot/talk.c, the live
 * view in sot/view.c. It is a client of the public header like any other program. */
#include <sot/sot.h>

#include <stdio.h>
#include <stdlib.h>

#include "shared/answer_json.h"
#include "shared/report.h"
#include "sot/ask.h"
#include "sot/asker.h"
#include "sot/lines.h"
#include "sot/options.h"
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

/* Runs a command on the options that it was given. */
static int with_options(unsigned command, int (*run)(const struct options *options), int argc,
                        char **argv)
{
    struct options options;
    int code = options_parse(&options, command, argc, argv);
    return code >= 0 ? code : run(&options);
}

static int run_ask(int argc, char **argv)
{
    return with_options(COMMAND_ASK, command_ask, argc, argv);
}

static int run_chat(int argc, char **argv)
{
    return with_options(COMMAND_CHAT, command_chat, argc, argv);
}

static int run_info(int argc, char **argv)
{
    return with_options(COMMAND_INFO, command_info, argc, argv);
}

static int run_tokenize(int argc, char **argv)
{
    return with_options(COMMAND_TOKENIZE, command_tokenize, argc, argv);
}

static void print_editor_name(void)
{
    printf("line editing: %s\n", lines_editor_name());
}

int main(int argc, char **argv)
{
    static const struct command commands[] = {
        {"ask", run_ask, "answer a question by Skeleton-of-Thought"},
        {"chat", run_chat, "hold a conversation"},
        {"info", run_info, "print what a model is"},
        {"tokenize", run_tokenize, "print the token ids of a text"},
        {NULL, NULL, NULL},
    };
    static const struct program sot = {
        .name = "sot", .commands = commands, .print_version = print_editor_name};
    return program_main(&sot, argc, argv);
}
