/*
 * cpus.h - how many CPUs this process may use.
 */
#ifndef COIR_RUNTIME_CPUS_H
#define COIR_RUNTIME_CPUS_H

/*
 * The CPUs that the affinity mask allows, at most as many as the quota of the
 * control groups around the process allows, and at least 1.
 *
 * ret_cpus  Up to `cap` CPU numbers that the mask allows, in order.
 * ret_n     How many there are.
 */
int coir_cpus_allowed(int *ret_cpus, int cap, int *ret_n);

#endif
