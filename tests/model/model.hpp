/*
 * model.hpp - the main function of a model.
 *
 *     MODEL                                  check all it has
 *     MODEL --mutate FILE LINE ORDER         the same, with one order weakened
 *     MODEL --without STEP                   the same, without a step of the protocol
 *
 * Prints one line per check.  Exit code 0: all passed; 1: one failed, and its
 * history has been printed; 3: all passed, and the mutated line never ran.
 */
#ifndef COIR_MODEL_HPP
#define COIR_MODEL_HPP

#include "model_atomics.hpp"

#include <stdio.h>
#include <stdlib.h>
#include <streambuf>

struct model_mutation model_mutation = { "", -1, "", 0 };
static const char *model_left_out = "";
static bool model_is_mutant, model_has_failed;
void (*model_before_operation)(void);

enum model_search {
    MODEL_PREEMPTIONS, /* all executions with up to n of them */
    MODEL_RANDOM,      /* n random executions */
};

/* relacy counts what operator new gives out, so its own text goes to a FILE. */
struct model_text : std::streambuf {
    char *text;
    size_t length;
    FILE *file;

    model_text() : text(NULL), file(open_memstream(&text, &length)) {}
    int overflow(int c) { return putc(c, file); }

    const char *finish()
    {
        fclose(file);
        return text;
    }
};

static inline bool model_without(const char *step)
{
    return !strcmp(model_left_out, step);
}

/* Check one suite.  Returns the number of failures. */
template <typename suite>
static int model_check(const char *claim, enum model_search search, unsigned long n)
{
    rl::test_params params;
    model_text text;
    std::ostream stream(&text);
    const char *history;
    bool passed;

    if (model_is_mutant && model_has_failed)
        return 0; /* once is enough */
    params.output_stream = &stream;
    params.progress_stream = &stream;
    params.progress_output_period = 1000000;
    params.execution_depth_limit = 4000;
    params.search_type = search == MODEL_RANDOM ? rl::sched_random : rl::sched_bound;
    params.context_bound = search == MODEL_RANDOM ? 0 : (unsigned)n;
    params.iteration_count = search == MODEL_RANDOM ? n : (rl::iteration_t)-1;
    passed = rl::simulate<suite>(params);

    model_has_failed |= !passed;
    history = text.finish();
    if (!passed)
        printf("%s", history);
    printf("%s  %s: %lu executions, ", passed ? "ok  " : "FAIL", claim,
           (unsigned long)params.stop_iteration);
    if (search == MODEL_RANDOM)
        printf("at random\n");
    else
        printf("all with up to %lu preemptions\n", n);
    fflush(stdout);
    return !passed;
}

static int model_main(int argc, char **argv, int (*checks)(void))
{
    if (argc == 5 && !strcmp(argv[1], "--mutate")) {
        model_mutation.file = argv[2];
        model_mutation.line = atoi(argv[3]);
        model_mutation.order = argv[4];
    } else if (argc == 3 && !strcmp(argv[1], "--without")) {
        model_left_out = argv[2];
    }
    model_is_mutant = argc > 1;
    if (checks() > 0)
        return 1;
    return model_mutation.line >= 0 && model_mutation.hits == 0 ? 3 : 0;
}

#endif
