/* modify.h: the header fields a rewrite can name. */
#ifndef STANDIN_MODIFY_H
#define STANDIN_MODIFY_H

#include <stdint.h>
#include <stddef.h>

const char *modify_name(unsigned int field);

/* What libmlx5 says to a list of rewrites in a domain: 0 or a positive errno, and why. */
int modify_check(int domain_type, const uint64_t *actions, size_t n, const char **why);

#endif
