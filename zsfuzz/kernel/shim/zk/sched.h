/*
 * sched.h: the points at which another lane may run.
 *
 * A lane is a CPU. Lanes are coroutines of one thread, so a run is a function of its schedule. Every lock, atomic, page flag,
 * reference count, list operation and allocation of the kernel's file passes through zk_point(), which counts, and asks the
 * schedule when more than one lane is there.
 */
#ifndef ZK_SCHED_H
#define ZK_SCHED_H

#define ZK_MAX_LANES 4

extern unsigned long zk_ticks, zk_tick_limit;
extern int zk_parallel; /* more than one lane exists */
extern int zk_lane;     /* the running one, 0 outside of parallel blocks; also the number of its CPU */

void zk_switch_point(void);
_Noreturn void zk_runaway(void);

/* Count without offering a switch: for loops that pass no point. */
static inline void zk_tick(void)
{
	if (unlikely(++zk_ticks > zk_tick_limit))
		zk_runaway();
}

static inline void zk_point(void)
{
	zk_tick();
	if (unlikely(zk_parallel))
		zk_switch_point();
}

/* Park the running lane until zk_wake(word). The caller looks again. Alone, a lane waits for ever: a report. */
void zk_block(const void *word, const char *name);
void zk_wake(const void *word);

#endif
