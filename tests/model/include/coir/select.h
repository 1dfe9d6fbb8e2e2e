/*
 * The cases of coir_select() for the model checker, whose atomics are larger.
 */
#ifndef COIR_SELECT_H
#define COIR_SELECT_H

#include "coir/future.h"
#include "coir/queue.h"
#include "coir/sync.h"

typedef struct coir_select_case {
    int result;
    int kind_;
    void *object_, *place_;
    void *opaque_[512];
} coir_select_case;

#endif
