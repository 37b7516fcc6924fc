/* See editor.h. Keys are libedit's, Emacs's way unless ~/.editrc says otherwise; Ctrl-C, Ctrl-Z
 * and Tab are this program's. */
#include "editor.h"

#include "lines.h"

#if SOT_LIBEDIT

#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_LINES = 1000 };

struct editor {
    EditLine *el;
    History *history;
    const char *const *words;
    struct text prompt;
    int interrupted; /* the line being ended is to be forgotten */
};

static struct editor *editor_of(EditLine *el)
{
    void *editor = NULL;
    el_get(el, EL_CLIENTDATA, &editor);
    return editor;
}

static char *show_prompt(EditLine *el)
{
    return editor_of(el)->prompt.bytes;
}

/* Ends the line as the return key does, so that the cursor is below all of it. */
static unsigned char on_ctrl_c(EditLine *el, int key)
{
    (void)key;
    editor_of(el)->interrupted = 1;
    el_push(el, "\n");
    return CC_NORM;
}

/* As the terminal does elsewhere; libedit leaves it in order and draws the line anew afterwards. */
static unsigned char on_ctrl_z(EditLine *el, int key)
{
    (void)el;
    (void)key;
    kill(0, SIGTSTP);
    return CC_NORM;
}

/* How many bytes all words that begin with size bytes of start have in common, and how many such
 * words there are. */
static size_t find_common(const char *const *words, const char *start, size_t size, size_t *n_found,
                          const char **found)
{
    size_t common = 0;
    *n_found = 0;
    for (; *words; words++) {
        if (strncmp(*words, start, size) != 0)
            continue;
        size_t same = *n_found == 0 ? strlen(*words) : 0;
        while (*n_found > 0 && same < common && (*words)[same] == (*found)[same])
            same++;
        common = same;
        *found = *words;
        (*n_found)++;
    }
    return common;
}

static void list_words(const struct editor *editor, const char *start, size_t size)
{
    fputc('\n', stdout);
    for (const char *const *word = editor->words; *word; word++)
        if (strncmp(*word, start, size) == 0)
            printf("%s  ", *word);
    fputc('\n', stdout);
    fflush(stdout);
}

/* The words at the beginning of a line, file names behind them. */
static unsigned char on_tab(EditLine *el, int key)
{
    const struct editor *editor = editor_of(el);
    const LineInfo *line = el_line(el);
    size_t size = (size_t)(line->cursor - line->buffer);
    if (size == 0 || line->buffer[0] != '/')
        return CC_REFRESH_BEEP;
    if (memchr(line->buffer, ' ', size))
        return _el_fn_complete(el, key);
    size_t n_found;
    const char *found = NULL;
    size_t common = find_common(editor->words, line->buffer, size, &n_found, &found);
    if (n_found == 0)
        return CC_REFRESH_BEEP;
    char rest[64];
    snprintf(rest, sizeof rest, "%.*s%s", (int)(common - size), found + size,
             n_found == 1 ? " " : "");
    if (rest[0]) {
        el_insertstr(el, rest);
        return CC_REFRESH;
    }
    list_words(editor, line->buffer, size);
    return CC_REDISPLAY;
}

static void set_up(struct editor *editor)
{
    EditLine *el = editor->el;
    HistEvent event;
    history(editor->history, &event, H_SETSIZE, HISTORY_LINES);
    history(editor->history, &event, H_SETUNIQUE, 1);
    el_set(el, EL_CLIENTDATA, editor);
    el_set(el, EL_PROMPT, show_prompt);
    el_set(el, EL_EDITOR, "emacs");
    el_set(el, EL_SIGNAL, 1); /* the terminal is put right before a signal does its work */
    el_set(el, EL_HIST, history, editor->history);
    /* Wide, because libedit never frees the copies it makes of narrow names. */
    el_wset(el, EL_ADDFN, L"sot-forget", L"Forget the line", on_ctrl_c);
    el_wset(el, EL_ADDFN, L"sot-stop", L"Stop the program", on_ctrl_z);
    el_wset(el, EL_ADDFN, L"sot-complete", L"Complete a command", on_tab);
    el_source(el, NULL);
    el_set(el, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C is a key while a line is edited */
    el_set(el, EL_BIND, "^C", "sot-forget", NULL);
    el_set(el, EL_BIND, "^Z", "sot-stop", NULL);
    el_set(el, EL_BIND, "^I", "sot-complete", NULL);
}

struct editor *editor_open(const char *const *words)
{
    struct editor *editor = grow(NULL, sizeof *editor);
    *editor = (struct editor){.words = words};
    editor->el = el_init("sot", stdin, stdout, stderr);
    editor->history = history_init();
    if (!editor->el || !editor->history) {
        editor_close(editor);
        return NULL;
    }
    set_up(editor);
    return editor;
}

void editor_close(struct editor *editor)
{
    if (!editor)
        return;
    if (editor->el)
        el_end(editor->el);
    if (editor->history)
        history_end(editor->history);
    text_free(&editor->prompt);
    free(editor);
}

int editor_read(struct editor *editor, const char *prompt, struct text *line)
{
    int count = 0;
    text_clear(&editor->prompt);
    text_string(&editor->prompt, prompt);
    editor->interrupted = 0;
    const char *read = el_gets(editor->el, &count);
    if (editor->interrupted)
        return LINE_INTERRUPTED;
    if (!read || count <= 0) {
        fputc('\n', stdout);
        fflush(stdout);
        return LINE_END;
    }
    size_t size = strlen(read);
    while (size && strchr("\r\n", read[size - 1]))
        size--;
    text_append(line, read, size);
    if (size) {
        HistEvent event;
        history(editor->history, &event, H_ENTER, line->bytes);
    }
    return LINE_READ;
}

const char *editor_name(void)
{
    return "libedit";
}

#else

struct editor *editor_open(const char *const *words)
{
    (void)words;
    return NULL;
}

void editor_close(struct editor *editor)
{
    (void)editor;
}

int editor_read(struct editor *editor, const char *prompt, struct text *line)
{
    (void)editor;
    (void)prompt;
    (void)line;
    return LINE_FAILED;
}

const char *editor_name(void)
{
    return "none, sot was built without libedit";
}

#endif
