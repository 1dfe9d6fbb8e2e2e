/*
 * handover.pml - a model of the outbox in runtime/handover.h, with a signal
 * handler on the owner's thread that gives too, between any two steps of the
 * owner's.  Memory orders are not modelled here; handover.cpp does that.
 *
 * Claims: every item is taken once, and none is lost (H1 to H3); the owner, its
 * handler and a taker never have the slots at the same time; when another has
 * taken the last batch, `keep` is not what the owner raised it to (H4).
 *
 *   -DCLAIM_IN_TWO_STEPS   claim loads, then stores           wrong
 *   -DRAISE_AFTER_GIVING   `keep` is raised after publishing  wrong
 */
#define ITEMS 5
#define SLOTS 2
#define SIGNALS 1

#define EMPTY 0
#define TAKING 16
#define FILLING 32

#define KEEP_NONE 0
#define KEEP_ONE 1
#define KEEP_ALL 9

byte state = EMPTY;
byte slot[SLOTS];
byte taken[ITEMS];
byte users; /* of the slots */
byte keep = KEEP_NONE;
byte next;  /* the owner's queue is next .. ITEMS - 1 */
bool handling, taken_by_another;
byte ended;

/* coir_outbox_claim() */
inline claim(success)
{
#ifdef CLAIM_IN_TWO_STEPS
    success = state == EMPTY;
    if
    :: success -> state = FILLING
    :: else
    fi
#else
    atomic {
        success = state == EMPTY;
        if
        :: success -> state = FILLING
        :: else
        fi
    }
#endif
}

inline fill(n)
{
    users++;
    assert(users == 1);
    do
    :: n < SLOTS && next < ITEMS ->
       slot[n] = next;
       next++;
       n++
    :: else -> break
    od;
    users--
}

/* give() in worker.c; the handler only does what stands between the changes of
   `keep`. */
inline give(raises, n, success)
{
    n = 0;
#ifndef RAISE_AFTER_GIVING
    if
    :: raises -> keep = KEEP_ALL
    :: else
    fi;
#endif
    claim(success);
    if
    :: success ->
       fill(n);
       taken_by_another = false;
       state = n
    :: else
    fi;
#ifdef RAISE_AFTER_GIVING
    if
    :: raises && n > 0 -> keep = KEEP_ALL
    :: else
    fi;
#endif
    if
    :: raises && n == 0 -> keep = KEEP_ONE
    :: else
    fi
}

/* coir_outbox_take() */
inline take(mine, n, i)
{
    n = state;
    if
    :: n >= 1 && n <= SLOTS ->
       atomic {
           if
           :: state == n -> state = TAKING
           :: else -> n = 0
           fi
       };
       if
       :: n > 0 ->
          users++;
          assert(users == 1);
          i = 0;
          do
          :: i < n -> taken[slot[i]]++; i++
          :: else -> break
          od;
          users--;
          atomic {
              state = EMPTY;
              taken_by_another = !mine
          };
          if
          :: !mine -> keep = KEEP_NONE
          :: else
          fi
       :: else
       fi
    :: else
    fi;
    n = 0;
    i = 0
}

proctype owner() provided (!handling)
{
    byte n, i;
    bool success;

    do
    :: next < ITEMS -> give(true, n, success)
    :: next < ITEMS -> take(true, n, i)
    :: next >= ITEMS -> break
    od;
    ended++
}

/* Begins at any time, and then the owner stands still until it ends. */
proctype handler()
{
    byte signals, n;
    bool success;

    do
    :: signals < SIGNALS ->
       handling = true;
       give(false, n, success);
       handling = false;
       signals++
    :: break
    od;
    ended++
}

proctype taker()
{
    byte n, i;

    do
    :: state >= 1 && state <= SLOTS -> take(false, n, i)
    :: ended == 2 && state == EMPTY -> break
    od
}

init {
    byte i;

    atomic {
        run owner();
        run handler();
        run taker();
        run taker()
    };
    _nr_pr == 1; /* all others have ended */
    do
    :: i < ITEMS ->
       assert(taken[i] == 1);
       i++
    :: else -> break
    od;
    assert(!taken_by_another || keep != KEEP_ALL)
}
