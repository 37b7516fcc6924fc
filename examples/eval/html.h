/* Writing HTML into a growing text. Whatever comes from a file goes through html_text. */
#ifndef SOT_EVAL_HTML_H
#define SOT_EVAL_HTML_H

#include "../shared/text.h"

/* Appends text so that it shows as it is, in an element or in a quoted attribute: & < > " ' as
 * references, control characters and ill-formed bytes as U+FFFD. */
void html_text(struct text *out, const char *bytes, size_t size);
void html_string(struct text *out, const char *string);

/* A number with so many decimals; a dash for NAN. */
void html_number(struct text *out, double value, int decimals);

/* <td>, right-aligned by its class; css is one more class or "". */
void html_cell(struct text *out, double value, int decimals, const char *css);
void html_count_cell(struct text *out, size_t value, const char *css);
/* <th scope="row"> */
void html_row_head(struct text *out, const char *name);

#endif
