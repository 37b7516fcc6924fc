/* Lines without editing, and which of the two it is: see lines.h. */
#include "lines.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../shared/interrupt.h"
#include "editor.h"

enum { LINE_MOST = 1024 * 1024 };

void lines_open(struct lines *lines, int edit, const char *const *words)
{
    *lines = (struct lines){.on_terminal = isatty(STDIN_FILENO)};
    if (edit && lines->on_terminal)
        lines->editor = editor_open(words);
}

void lines_close(struct lines *lines)
{
    editor_close(lines->editor);
    text_free(&lines->unread);
}

const char *lines_editor_name(void)
{
    return editor_name();
}

/* Hands out the first n bytes of what is unread, and drops them with skip more. */
static int hand_out(struct lines *lines, size_t n, size_t skip, struct text *line)
{
    text_append(line, lines->unread.bytes ? lines->unread.bytes : "", n);
    if (line->size && line->bytes[line->size - 1] == '\r')
        line->bytes[--line->size] = '\0';
    size_t left = lines->unread.size - n - skip;
    if (left)
        memmove(lines->unread.bytes, lines->unread.bytes + n + skip, left);
    lines->unread.size = left;
    return LINE_READ;
}

/* Reads what there is. Returns LINE_READ to go on. */
static int read_more(struct lines *lines)
{
    char block[4096];
    struct pollfd readable = {STDIN_FILENO, POLLIN, 0};
    /* Not for ever: a Ctrl-C may come between looking and waiting. */
    int n_ready = poll(&readable, 1, 200);
    if (interrupt_seen()) {
        lines->unread.size = 0;
        return LINE_INTERRUPTED;
    }
    if (n_ready == 0 || (n_ready < 0 && errno == EINTR))
        return LINE_READ;
    ssize_t n_read = read(STDIN_FILENO, block, sizeof block);
    if (n_read < 0 && errno != EINTR) {
        complain("standard input: %s", strerror(errno));
        return LINE_FAILED;
    }
    if (n_read == 0)
        lines->at_end = 1;
    if (n_read > 0)
        text_append(&lines->unread, block, (size_t)n_read);
    return LINE_READ;
}

static int read_plain(struct lines *lines, const char *prompt, struct text *line)
{
    if (lines->on_terminal) {
        fputs(prompt, stderr);
        fflush(stderr);
    }
    for (size_t looked_at = 0;;) {
        size_t size = lines->unread.size;
        const char *end = size > looked_at
                              ? memchr(lines->unread.bytes + looked_at, '\n', size - looked_at)
                              : NULL;
        if (end)
            return hand_out(lines, (size_t)(end - lines->unread.bytes), 1, line);
        if (lines->at_end)
            return size ? hand_out(lines, size, 0, line) : LINE_END;
        if (size > LINE_MOST) {
            complain("a line of standard input has more than %d bytes", LINE_MOST);
            return LINE_FAILED;
        }
        looked_at = size;
        int result = read_more(lines);
        if (result != LINE_READ)
            return result;
    }
}

int lines_read(struct lines *lines, const char *prompt, struct text *line)
{
    text_clear(line);
    text_append(line, "", 0);
    fflush(stdout);
    int result =
        lines->editor ? editor_read(lines->editor, prompt, line) : read_plain(lines, prompt, line);
    /* What the terminal's echo left unfinished. */
    if (lines->on_terminal && !lines->editor && result != LINE_READ)
        fputc('\n', stderr);
    return result;
}
