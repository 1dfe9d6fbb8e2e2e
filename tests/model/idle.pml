/*
 * idle.pml - a model of what the plain stores of a run queue mean for sleepers:
 * runtime/idle.h, and in runtime/worker.c coir_worker_offer(), find_work() and
 * sleep_in_driver().
 *
 * An owner creates tasks by plain stores, and then computes for ever.  Two other
 * workers ask, take, search, announce themselves, and sleep.  Each has a store
 * buffer, as on x86-64: a store is seen by others at some later time.
 *
 * Claim: when both sleep, and nothing will wake them, then the outbox is empty
 * and the owner has at most one task queued.
 *
 *   -DNO_BARRIER   the last searcher makes no membarrier    the claim is wrong
 *   -DNO_RECHECK   sleepers do not look again               the claim is wrong
 */
#define TASKS 2

#define OWNER 0
#define WORKERS 3
#define MAX_SEARCHERS 1

#define KEEP_NONE 0
#define KEEP_ONE 1
#define KEEP_ALL 9

/* What plain stores write. */
#define KEEP 0
#define LENGTH 1
#define OUTBOX 2 /* 0: empty, else the number of items */
#define WORDS 3
#define PENDING 2

typedef store_buffer {
    byte n;
    byte word[PENDING];
    byte value[PENDING]
};

byte memory[WORDS];
store_buffer buffer[WORKERS];

/* What is only changed by read-modify-writes, or before a fence. */
short searching;
byte sleeping;
bool asleep[WORKERS];  /* COIR_WORKER_SLEEPING */
bool woken[WORKERS];   /* the driver's token */
bool blocked[WORKERS]; /* in the driver */
bool computes;         /* the owner has created all */

inline store(p, w, v)
{
    atomic {
        buffer[p].n < PENDING;
        buffer[p].word[buffer[p].n] = w;
        buffer[p].value[buffer[p].n] = v;
        buffer[p].n++
    }
}

/* The newest of one's own stores, or memory. */
inline load(p, w, v)
{
    d_step {
        v = memory[w];
        if
        :: buffer[p].n > 0 && buffer[p].word[0] == w -> v = buffer[p].value[0]
        :: else
        fi;
        if
        :: buffer[p].n > 1 && buffer[p].word[1] == w -> v = buffer[p].value[1]
        :: else
        fi
    }
}

inline fence(p)
{
    buffer[p].n == 0
}

/* A barrier here, then in every thread at some time of its own. */
inline membarrier(p)
{
    fence(p);
    fence(0);
    fence(1);
    fence(2)
}

/* Stores arrive in order. */
inline arrive(p)
{
    d_step {
        buffer[p].n > 0;
        memory[buffer[p].word[0]] = buffer[p].value[0];
        buffer[p].word[0] = buffer[p].word[1];
        buffer[p].value[0] = buffer[p].value[1];
        buffer[p].n--;
        buffer[p].word[buffer[p].n] = 0;
        buffer[p].value[buffer[p].n] = 0
    }
}

active proctype hardware()
{
end:
    do
    :: arrive(0)
    :: arrive(1)
    :: arrive(2)
    od
}

/* coir_idle_claim() */
inline claim(w)
{
    if
    :: atomic { asleep[w] -> asleep[w] = false };
       searching++;
       sleeping--;
       woken[w] = true;
       break
    :: !asleep[w]
    fi
}

/* coir_worker_wake_one(), if anything has been given */
inline wake_one(p)
{
    fence(p);
    if
    :: memory[OUTBOX] > 0 && searching <= 0 ->
       if
       :: sleeping > 0 ->
          do
          :: claim(1);
             claim(2);
             break
          od
       :: else
       fi
    :: else
    fi
}

inline if_idle(yes)
{
    yes = searching > 0;
    if
    :: !yes -> yes = sleeping > 0
    :: else
    fi
}

inline give(count)
{
    store(OWNER, KEEP, KEEP_ALL);
    load(OWNER, OUTBOX, box);
    if
    :: box == 0 ->
       length = length - (count);
       store(OWNER, LENGTH, length);
       store(OWNER, OUTBOX, count);
       wake_one(OWNER)
    :: else ->
       store(OWNER, KEEP, KEEP_ONE)
    fi
}

/* coir_worker_offer() */
inline offer()
{
    load(OWNER, OUTBOX, box);
    if_idle(idle);
    wanted = idle && box == 0;
    if
    :: !wanted ->
       store(OWNER, KEEP, KEEP_ALL);
       fence(OWNER);
       if_idle(idle);
       load(OWNER, OUTBOX, box);
       if
       :: idle && box > 0 -> wake_one(OWNER)
       :: idle && box == 0 ->
          store(OWNER, KEEP, KEEP_NONE);
          wanted = true
       :: !idle
       fi
    :: else
    fi;
    if
    :: wanted && length > 1 -> give(length / 2)
    :: wanted && length == 1 ->
       if
       :: give(1)
       :: store(OWNER, KEEP, KEEP_ONE) /* may_give_lone() says no */
       fi
    :: else
    fi;
    box = 0;
    idle = false;
    wanted = false
}

active proctype owner()
{
    byte created, length, keep, box;
    bool idle, wanted;

    do
    :: created < TASKS ->
       created++;
       length++;
       store(OWNER, LENGTH, length);
       load(OWNER, KEEP, keep);
       if
       :: length > keep -> offer()
       :: else
       fi
    :: else -> break
    od;
    computes = true
}

inline ask(what)
{
    load(me, KEEP, keep);
    if
    :: keep > what -> store(me, KEEP, what)
    :: else
    fi;
    keep = 0
}

/* take_from_anyone(): a compare-and-swap is a fence. */
inline take()
{
    atomic {
        buffer[me].n == 0;
        found = memory[OUTBOX] > 0;
        memory[OUTBOX] = 0
    };
    if
    :: found ->
       if_idle(idle);
       if
       :: idle -> store(me, KEEP, KEEP_NONE)
       :: else
       fi;
       idle = false
    :: else
    fi
}

inline retract()
{
    fence(me);
    if
    :: atomic { asleep[me] -> asleep[me] = false };
       sleeping--;
       searches = false
    :: !asleep[me] -> searches = true /* claimed */
    fi
}

inline look_again()
{
#ifndef NO_RECHECK
    again = memory[OUTBOX] > 0;
    if
    :: was_last && !again -> again = memory[LENGTH] > 1
    :: else
    fi
#else
    again = false
#endif
}

inline sleep_in_driver()
{
    fence(me);
    sleeping++;
    asleep[me] = true;
    was_last = was_last || searching <= 0;
    ask(KEEP_NONE);
    if
    :: was_last ->
#ifndef NO_BARRIER
       membarrier(me)
#else
       skip
#endif
    :: else
    fi;
    look_again();
    if
    :: again -> again = false
    :: else ->
       blocked[me] = true;
end:   atomic {
           woken[me] ->
           woken[me] = false;
           blocked[me] = false
       }
    fi;
    was_last = false;
    retract()
}

inline start_search()
{
    fence(me);
    if
    :: searching < MAX_SEARCHERS ->
       searching++;
       searches = true
    :: else
    fi
}

inline stop_search()
{
    atomic {
        buffer[me].n == 0;
        was_last = searching <= 1;
        searching--;
        searches = false
    }
}

/* find_work(); what was found takes no time. */
proctype worker(byte me)
{
    byte keep;
    bool found, searches, was_last, again, idle;

    do
    :: take();
       if
       :: !found && !searches -> start_search()
       :: else
       fi;
       if
       :: !found && searches ->
          ask(KEEP_ONE);
          take();
          if
          :: !found -> stop_search()
          :: else
          fi
       :: else
       fi;
       if
       :: !found -> sleep_in_driver()
       :: else ->
          if
          :: searches -> stop_search()
          :: else
          fi;
          was_last = false;
          found = false;
          wake_one(me) /* for what was left to it */
       fi
    od
}

init {
    memory[KEEP] = KEEP_ALL;
    atomic {
        run worker(1);
        run worker(2)
    };
    timeout;
    assert(computes && blocked[1] && blocked[2]);
    assert(memory[OUTBOX] == 0);
    assert(memory[LENGTH] <= 1)
}
