/*
 * lookout.pml - a model of the lookouts: in runtime/worker.c must_look_out(),
 * wait_in_driver(), appoint_lookout() and coir_worker_wake_one().
 *
 * Workers sleep, with an alarm or without.  What wakes them: an event of their own
 * (their ring), another worker, or the alarm.  One that has found work does a
 * little and sleeps again, or is stuck for ever.
 *
 * All accesses are sequentially consistent in the source, so each is one step here.
 *
 * Claim: when nothing more will happen by itself but alarms, then, if a worker is
 * stuck and another sleeps, one that sleeps has an alarm.
 *
 *   -DDECIDE_FIRST   a sleeper looks at the others before it leaves the
 *                    lookouts                              the claim is wrong
 *   -DNO_APPOINTING  who has found work wakes nobody       the claim is wrong
 */
#define WORKERS 3
#define MOST 2
#define EVENTS 2 /* in all */

bool asleep[WORKERS]; /* COIR_WORKER_SLEEPING */
bool alarm[WORKERS];  /* sleeps with an alarm */
bool woken[WORKERS];  /* the driver's token */
bool blocked[WORKERS];
bool stuck[WORKERS];
bool ran[WORKERS]; /* has run since it last decided */
byte lookouts;
byte sleeping;
short searching;
byte events = EVENTS;

inline wake_one()
{
    if
    :: atomic { searching <= 0 && sleeping > 0 -> k = 0 }
       do
       :: k < WORKERS ->
          atomic {
              if
              :: asleep[k] -> asleep[k] = false; searching++; sleeping--;
                 woken[k] = true; k = WORKERS
              :: else -> k++
              fi
          }
       :: else -> break
       od
    :: else
    fi
}

inline appoint()
{
    skip;
#ifndef NO_APPOINTING
    if
    :: lookouts == 0 && sleeping > 0 -> wake_one()
    :: else
    fi
#endif
}

inline decide()
{
    timed = false;
    if
    :: lookouts >= MOST
    :: else ->
       if
       :: ran[me] -> timed = true
       :: else
       fi;
       j = 0;
       do
       :: j < WORKERS ->
          if
          :: j != me && !asleep[j] -> timed = true
          :: else
          fi;
          j++
       :: else -> break
       od;
       ran[me] = false
    fi
}

proctype worker(byte me)
{
    byte j, k;
    bool timed, searches = true, had_alarm = false;

work:
    /* Searches, finds nothing, and sleeps. */
    if
    :: searches -> searching--; searches = false
    :: else
    fi;
rest:
#ifdef DECIDE_FIRST
    decide();
    if
    :: had_alarm -> lookouts--; had_alarm = false
    :: else
    fi;
#endif
    atomic { asleep[me] = true; sleeping++ }
#ifndef DECIDE_FIRST
    decide();
#endif
    if
    :: timed -> lookouts++; alarm[me] = true
    :: else
    fi;
    atomic { blocked[me] = true }
    /* Its own event, a wake, or the alarm, which matters only if there is something
       to see: nobody has to wait for it for the claim. */
end_wait:
    if
    :: atomic { events > 0 -> events--; blocked[me] = false; ran[me] = true }
    :: atomic { woken[me] -> woken[me] = false; blocked[me] = false }
    :: atomic { timed && (events > 0) -> blocked[me] = false }
    fi;
    alarm[me] = false;
#ifdef DECIDE_FIRST
    had_alarm = timed;
#else
    if
    :: timed -> lookouts--
    :: else
    fi;
#endif
    atomic {
        if
        :: asleep[me] -> asleep[me] = false; sleeping--
        :: else -> searches = true; woken[me] = false
        fi
    }
    if
    :: ran[me] ->
       /* Found work: it no longer searches. */
       if
       :: searches -> searching--; searches = false
       :: else
       fi;
#ifdef DECIDE_FIRST
       if
       :: had_alarm -> lookouts--; had_alarm = false
       :: else
       fi;
#endif
       appoint();
       if
       :: goto work
       :: stuck[me] = true
       fi
    :: else -> goto work
    fi
}

init
{
    byte i, n, s;

    atomic {
        searching = WORKERS;
        do
        :: i < WORKERS -> run worker(i); i++
        :: else -> break
        od
    }
    /* Everybody is blocked or stuck, no wake is under way, no event is left. */
    atomic {
        (events == 0 && (blocked[0] || stuck[0]) && (blocked[1] || stuck[1]) &&
         (blocked[2] || stuck[2]) && !woken[0] && !woken[1] && !woken[2]) ->
        s = stuck[0] + stuck[1] + stuck[2];
        assert(s == 0 || s == WORKERS || alarm[0] || alarm[1] || alarm[2])
    }
}
