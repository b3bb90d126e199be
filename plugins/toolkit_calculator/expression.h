/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLKIT_CALCULATOR_EXPRESSION_H
#define TOOLKIT_CALCULATOR_EXPRESSION_H

/*
 * Arithmetic as people write it: + - * / % ^, parentheses, unary signs, the
 * functions sqrt abs round floor ceil min max ln log exp sin cos tan (angles in
 * radians) and the constants pi and e.  ^ binds to the right and before a sign:
 * -2^2 is -4.
 */

#include <stdbool.h>
#include <stddef.h>

#define EXPRESSION_LEN_MAX 1000
#define EXPRESSION_ERROR 160

/* False: error says what is wrong, and where if that is a place. */
bool expression_evaluate(const char *text, double *result,
    char error[EXPRESSION_ERROR]);

/* The shortest way to write it: whole numbers without a point. */
void expression_print(double value, char *out, size_t size);

#endif
