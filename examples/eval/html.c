/* Escaping, and the cells of tables: see html.h. */
#include "html.h"

#include <math.h>
#include <string.h>

void html_text(struct text *out, const char *bytes, size_t size)
{
    struct text clean = {0};
    text_clean(&clean, bytes, size);
    for (size_t i = 0; i < clean.size; i++) {
        const char byte = clean.bytes[i];
        const char *reference = byte == '&'    ? "&amp;"
                                : byte == '<'  ? "&lt;"
                                : byte == '>'  ? "&gt;"
                                : byte == '"'  ? "&quot;"
                                : byte == '\'' ? "&#39;"
                                               : NULL;
        if (reference)
            text_string(out, reference);
        else
            text_append(out, &byte, 1);
    }
    text_free(&clean);
}

void html_string(struct text *out, const char *string)
{
    html_text(out, string, strlen(string));
}

void html_number(struct text *out, double value, int decimals)
{
    if (isfinite(value))
        text_format(out, "%.*f", decimals, value);
    else
        text_string(out, "\xe2\x80\x93"); /* an en dash */
}

void html_cell(struct text *out, double value, int decimals, const char *css)
{
    text_format(out, "<td class=\"n%s%s\">", css[0] ? " " : "", css);
    html_number(out, value, decimals);
    text_string(out, "</td>");
}

void html_count_cell(struct text *out, size_t value, const char *css)
{
    text_format(out, "<td class=\"n%s%s\">%zu</td>", css[0] ? " " : "", css, value);
}

void html_row_head(struct text *out, const char *name)
{
    text_string(out, "<th scope=\"row\">");
    html_string(out, name[0] ? name : "(none)");
    text_string(out, "</th>");
}
