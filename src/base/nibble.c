/* SPDX-License-Identifier: Apache-2.0
 *
 * The small public functions that belong to no part in particular. */
#include <stdlib.h>

#include "nibble.h"

#define STR_(x) #x
#define STR(x)  STR_(x)

const char *nb_version(void) {
    return STR(NB_VERSION_MAJOR) "." STR(NB_VERSION_MINOR) "." STR(NB_VERSION_PATCH);
}

const char *nb_status_name(nb_status status) {
    switch (status) {
    case NB_OK:
        return "ok";
    case NB_ERR_ARGUMENT:
        return "bad argument";
    case NB_ERR_NOT_FOUND:
        return "not found";
    case NB_ERR_IO:
        return "input/output";
    case NB_ERR_FORMAT:
        return "file format";
    case NB_ERR_UNSUPPORTED:
        return "unsupported";
    case NB_ERR_NO_MEMORY:
        return "out of memory";
    case NB_ERR_LIMIT:
        return "limit reached";
    case NB_ERR_TEMPLATE:
        return "raised by the template";
    case NB_ERR_CANCELLED:
        return "cancelled";
    case NB_ERR_INTERNAL:
        return "internal error";
    }
    return "unknown status";
}

void nb_free(void *buffer) {
    free(buffer);
}
