/* text.c: growing text. */
#include <stdarg.h>
#include "standin.h"

void
text_add(struct text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (t->length + n + 1 > t->room) {
        t->room = 2 * (t->length + n + 1);
        t->s = realloc(t->s, t->room);
        if (!t->s) {
            standin_abort("out of memory");
        }
    }
    va_start(args, format);
    vsnprintf(t->s + t->length, n + 1, format, args);
    va_end(args);
    t->length += n;
}

void
text_free(struct text *t)
{
    free(t->s);
    *t = (struct text){0};
}
