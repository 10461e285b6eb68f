/*
 * lanes.c: coroutines, the schedule that switches between them, and the locks they wait for.
 *
 * A switch is (lane, operation, points passed in that operation) -> lane to run next. When a lane blocks or ends, the same key is
 * looked up; without an entry the next runnable lane in cyclic order runs. The form is that of zsfuzz/program/block.py; the
 * points are those of this shim, not those of the Python machine. Policies choose by a seed and write down what
 * they chose in the same form, so that a run can be repeated from its record alone.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include "zk/libc.h"
#include "zk/kernel.h"
#include "zk/inside.h"
#ifdef ZK_ASAN
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size);
#endif

#define STACK_BYTES (256UL << 10)
#define UNFAIR_POINTS 20000 /* a lane that spins alone that long gives way, whatever the schedule says */

unsigned long zk_ticks, zk_tick_limit = 1UL << 40, zk_points, zk_switches;
int zk_parallel, zk_lane;
bool zk_looking;

enum { LANE_NONE, LANE_READY, LANE_WAITING, LANE_DONE };
static struct lane {
	int state, op, point;
	const void *waiting_for;
	const char *waiting_name;
	void *stack_pointer;
	char *stack;
	int next_switch; /* where in its own sorted part of the schedule the lane has come to */
	long priority;
	unsigned long alone; /* points since the last switch */
	long passed;         /* points in all */
} lanes[ZK_MAX_LANES];
static int lanes_count;
static void *main_stack_pointer;
static void (*lane_body)(int lane);
static struct zk_schedule *schedule;
static unsigned long random_state;
static long lowest_priority;
#ifdef ZK_ASAN
static void *fake_stacks[ZK_MAX_LANES + 1];
static const void *main_bottom;
static size_t main_size;
#endif

/* -- switching */

#if defined(__x86_64__)
void zk_swap_stacks(void **from, void *to);
__asm__(".text\n.globl zk_swap_stacks\n.hidden zk_swap_stacks\n.type zk_swap_stacks,@function\nzk_swap_stacks:\n"
	"pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
	"movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
	"popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
	".size zk_swap_stacks,.-zk_swap_stacks\n");
static void lane_main(void);
static void *fresh_stack(struct lane *lane)
{
	void **top = (void **)(lane->stack + STACK_BYTES - 64);

	*--top = NULL; /* keeps the stack aligned as after a call */
	*--top = (void *)lane_main;
	top -= 6;
	memset(top, 0, 6 * sizeof(*top));
	return top;
}
#else
#include <ucontext.h>
static ucontext_t contexts[ZK_MAX_LANES + 1];
static void lane_main(void);
static void zk_swap_stacks(void **from, void *to)
{
	*from = *from;
	swapcontext((ucontext_t *)*from, (ucontext_t *)to);
}
static void *fresh_stack(struct lane *lane)
{
	ucontext_t *context = &contexts[lane - lanes];

	getcontext(context);
	context->uc_stack.ss_sp = lane->stack;
	context->uc_stack.ss_size = STACK_BYTES;
	context->uc_link = NULL;
	makecontext(context, lane_main, 0);
	main_stack_pointer = &contexts[ZK_MAX_LANES];
	return context;
}
#endif

static void run_lane(int to)
{
	int from = zk_lane;

	zk_switches++;
	lanes[to].alone = 0;
	zk_lane = to;
#ifdef ZK_ASAN
	__sanitizer_start_switch_fiber(&fake_stacks[from], lanes[to].stack, STACK_BYTES);
#endif
	zk_swap_stacks(&lanes[from].stack_pointer, lanes[to].stack_pointer);
#ifdef ZK_ASAN
	__sanitizer_finish_switch_fiber(fake_stacks[from], NULL, NULL);
#endif
}

/* -- decisions */

static unsigned long next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static int next_ready(int after)
{
	int step, lane;

	for (step = 1; step <= lanes_count; step++) {
		lane = (after + step) % lanes_count;
		if (lanes[lane].state == LANE_READY)
			return lane;
	}
	return -1;
}

/* The schedule's entry for the running lane's present point, -1 for none. Entries are sorted by lane, operation, point. */
static int scheduled(struct lane *lane)
{
	int number = zk_lane;

	while (lane->next_switch < schedule->switches_count) {
		const struct zk_switch *entry = &schedule->switches[lane->next_switch];

		if (entry->lane != number)
			return -1;
		if (entry->op > lane->op || (entry->op == lane->op && entry->point > lane->point))
			return -1;
		lane->next_switch++;
		if (entry->op == lane->op && entry->point == lane->point)
			return entry->to;
	}
	return -1;
}

static int chosen_by_policy(struct lane *lane, bool must)
{
	int to, best = -1, count = 0;

	switch (schedule->policy) {
	case ZK_POLICY_RANDOM:
		if (!must && (int)(next_random() >> 20 & 0xffff) >= schedule->chance)
			return -1;
		for (to = 0; to < lanes_count; to++)
			count += to != zk_lane && lanes[to].state == LANE_READY;
		if (!count)
			return -1;
		count = next_random() % count;
		for (to = 0; to < lanes_count; to++)
			if (to != zk_lane && lanes[to].state == LANE_READY && count-- == 0)
				return to;
		return -1;
	case ZK_POLICY_PRIORITY: /* the highest priority runs; now and then the running lane falls to the bottom */
		if (!must && (int)(next_random() >> 20 & 0xffff) < schedule->chance)
			lane->priority = --lowest_priority;
		for (to = 0; to < lanes_count; to++)
			if (lanes[to].state == LANE_READY && (best < 0 || lanes[to].priority > lanes[best].priority))
				best = to;
		return best;
	case ZK_POLICY_ROUND_ROBIN:
		return next_ready(zk_lane);
	}
	return -1;
}

static void record(struct lane *lane, int to)
{
	schedule->record[schedule->record_count++] = (struct zk_switch){ zk_lane, lane->op, lane->point, to };
}

static int decide(struct lane *lane, bool must)
{
	int to = scheduled(lane), fallback = must ? next_ready(zk_lane) : -1;

	if (to < 0 && schedule->policy && schedule->record_count < schedule->record_room) {
		to = chosen_by_policy(lane, must);
		if (to >= 0 && to != zk_lane && to != fallback)
			record(lane, to);
	}
	if (to < 0 || to >= lanes_count || lanes[to].state != LANE_READY)
		to = fallback;
	return to;
}

void zk_switch_point(void)
{
	struct lane *lane = &lanes[zk_lane];
	int to;

	if (zk_looking)
		return;
	zk_points++;
	lane->passed++;
	to = decide(lane, false);
	lane->point++;
	if (unlikely(++lane->alone > UNFAIR_POINTS)) {
		lane->alone = 0;
		if (to < 0)
			to = next_ready(zk_lane);
	}
	if (to >= 0 && to != zk_lane)
		run_lane(to);
}

static _Noreturn void deadlock(void)
{
	char text[256] = "";
	int number;

	for (number = 0; number < lanes_count; number++)
		if (lanes[number].state == LANE_WAITING)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%slane %d op %d waits for %s",
				 *text ? "; " : "", number, lanes[number].op, lanes[number].waiting_name);
	zk_report("progress", "deadlock", lanes[zk_lane].waiting_name, "%s", text);
}

void zk_block(const void *word, const char *name)
{
	struct lane *lane = &lanes[zk_lane];
	int to;

	if (!zk_parallel || zk_looking)
		zk_report("progress", "self-deadlock", name, "the only lane waits for %s", name);
	lane->state = LANE_WAITING;
	lane->waiting_for = word;
	lane->waiting_name = name;
	to = decide(lane, true);
	lane->point++;
	if (to < 0)
		deadlock();
	run_lane(to);
}

void zk_wake(const void *word)
{
	int number;

	if (likely(!zk_parallel))
		return;
	for (number = 0; number < lanes_count; number++) {
		if (lanes[number].state == LANE_WAITING && lanes[number].waiting_for == word) {
			lanes[number].state = LANE_READY;
			lanes[number].waiting_for = NULL;
		}
	}
}

static void lane_main(void)
{
	struct lane *lane;
	int to;

#ifdef ZK_ASAN
	__sanitizer_finish_switch_fiber(NULL, main_bottom ? NULL : &main_bottom, main_bottom ? NULL : &main_size);
#endif
	lane_body(zk_lane);
	lane = &lanes[zk_lane];
	lane->state = LANE_DONE; /* its operation is the number of its operations by now */
	to = decide(lane, true);
	if (to < 0) {
		for (to = 0; to < lanes_count; to++)
			if (lanes[to].state == LANE_WAITING)
				deadlock();
#ifdef ZK_ASAN
		__sanitizer_start_switch_fiber(NULL, main_bottom, main_size);
#endif
		zk_swap_stacks(&lane->stack_pointer, main_stack_pointer);
	}
	run_lane(to);
	abort();
}

void zk_lane_starts_op(int op)
{
	lanes[zk_lane].op = op;
	lanes[zk_lane].point = 0;
}

void zk_run_lanes(int count, void (*body)(int lane), struct zk_schedule *wanted)
{
	int number, entry;

	schedule = wanted;
	lane_body = body;
	lanes_count = count;
	random_state = wanted->seed * 0x9E3779B97F4A7C15UL + 0x1234567;
	lowest_priority = 0;
	for (number = 0; number < count; number++) {
		char *stack = lanes[number].stack;

		if (!stack)
			stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		lanes[number] = (struct lane){ .state = LANE_READY, .stack = stack, .op = 0 };
		lanes[number].priority = (long)(next_random() >> 40);
		lanes[number].stack_pointer = fresh_stack(&lanes[number]);
		for (entry = 0; entry < wanted->switches_count && wanted->switches[entry].lane < number; entry++)
			;
		lanes[number].next_switch = entry;
	}
	zk_parallel = 1;
	zk_lane = 0;
#ifdef ZK_ASAN
	main_bottom = NULL;
	__sanitizer_start_switch_fiber(&fake_stacks[ZK_MAX_LANES], lanes[0].stack, STACK_BYTES);
#endif
	zk_swap_stacks(&main_stack_pointer, lanes[0].stack_pointer);
#ifdef ZK_ASAN
	__sanitizer_finish_switch_fiber(fake_stacks[ZK_MAX_LANES], NULL, NULL);
#endif
	zk_parallel = 0;
	zk_lane = 0;
}

long zk_lane_points(int lane)
{
	return lanes[lane].passed;
}

/* -- lock classes and their order */

static const char *class_names[ZK_LOCK_CLASSES] = { "page lock", "handle pin" };
static int classes_count = 2;

const char *zk_lock_class_name(int class_id)
{
	return class_names[class_id];
}

int zk_lock_class(const char *name)
{
	int number;

	if (*name == '&')
		name++;
	for (number = 0; number < classes_count; number++)
		if (!strcmp(class_names[number], name))
			return number;
	if (classes_count == ZK_LOCK_CLASSES)
		zk_report("bug", "too many lock classes", "", "no room for lock class %s", name);
	class_names[classes_count] = name;
	return classes_count++;
}

struct zk_held zk_held[ZK_MAX_LANES];
unsigned int zk_known_before[ZK_LOCK_CLASSES];
long zk_locks_taken;

/* Return whether a chain of known orders leads from one class to another. */
static bool leads_to(int from, int to, unsigned int *seen)
{
	int number;

	*seen |= 1U << from;
	for (number = 0; number < classes_count; number++) {
		if (!(zk_known_before[number] >> from & 1) || *seen >> number & 1)
			continue;
		if (number == to || leads_to(number, to, seen))
			return true;
	}
	return false;
}

void zk_check_order(int class_id, unsigned int held)
{
	int number;

	for (number = 0; number < classes_count; number++) {
		unsigned int seen = 0;

		if (!(held >> number & 1) || zk_known_before[class_id] >> number & 1)
			continue;
		if (leads_to(class_id, number, &seen))
			zk_report("invariant", "I5 lock order", class_names[class_id], "%s is taken under %s, elsewhere the other way round",
				  class_names[class_id], class_names[number]);
		zk_known_before[class_id] |= 1U << number;
	}
}

/* -- spinlocks and rwlocks */

void zk_lock_init(struct zk_lock *lock, const char *name, int *class_id)
{
	if (!*class_id)
		*class_id = zk_lock_class(name);
	lock->count = 0;
	lock->class_id = *class_id;
}

void zk_lock_wait(struct zk_lock *lock, bool write)
{
	do {
		zk_block(lock, class_names[lock->class_id]);
		zk_check(lock, sizeof(*lock));
	} while (!zk_lock_is_free(lock, write));
}

_Noreturn void zk_lock_unheld(int class_id)
{
	zk_report("invariant", "I5 unlock of a lock that is not held", class_names[class_id], "%s is unlocked and was not locked",
		  class_names[class_id]);
}

bool zk_lock_is_contended(const struct zk_lock *lock)
{
	int number;

	for (number = 0; zk_parallel && number < lanes_count; number++)
		if (lanes[number].state == LANE_WAITING && lanes[number].waiting_for == lock)
			return true;
	return false;
}

/* -- bit spinlocks */

void zk_bit_spin_lock(int bit, unsigned long *word)
{
	zk_point();
	zk_check(word, sizeof(*word));
	zk_order(ZK_CLASS_PIN);
	while (*word >> bit & 1) {
		zk_block(word, class_names[ZK_CLASS_PIN]);
		zk_check(word, sizeof(*word));
	}
	*word |= 1UL << bit;
	zk_note_held(ZK_CLASS_PIN);
}

bool zk_bit_spin_trylock(int bit, unsigned long *word)
{
	zk_point();
	zk_check(word, sizeof(*word));
	if (*word >> bit & 1)
		return false;
	*word |= 1UL << bit;
	zk_note_held(ZK_CLASS_PIN);
	return true;
}

void zk_bit_spin_unlock(int bit, unsigned long *word)
{
	zk_check(word, sizeof(*word));
	if (!(*word >> bit & 1))
		zk_report("invariant", "I5 unlock of a lock that is not held", "handle pin", "a handle is unpinned and was not pinned");
	*word &= ~(1UL << bit);
	zk_note_release(ZK_CLASS_PIN);
	zk_wake(word);
	zk_point();
}

bool zk_bit_spin_is_locked(int bit, unsigned long *word)
{
	zk_point();
	zk_check(word, sizeof(*word));
	return *word >> bit & 1;
}

/* -- page locks */

bool zk_trylock_page(struct page *page)
{
	zk_point();
	zk_checked_pfn(page, "trylock_page");
	if (page->flags & 1UL << PG_locked)
		return false;
	page->flags |= 1UL << PG_locked;
	zk_note_held(ZK_CLASS_PAGE);
	return true;
}

void zk_lock_page(struct page *page)
{
	zk_point();
	zk_checked_pfn(page, "lock_page");
	zk_order(ZK_CLASS_PAGE);
	while (page->flags & 1UL << PG_locked)
		zk_block(page, "page lock");
	page->flags |= 1UL << PG_locked;
	zk_note_held(ZK_CLASS_PAGE);
}

void zk_unlock_page(struct page *page)
{
	zk_checked_pfn(page, "unlock_page");
	if (!(page->flags & 1UL << PG_locked))
		zk_report("bug", "VM_BUG_ON !PageLocked", "PG_locked", "unlock_page() of a page that is not locked");
	page->flags &= ~(1UL << PG_locked);
	zk_note_release(ZK_CLASS_PAGE);
	zk_wake(page);
	zk_point();
}

void zk_wait_on_page_locked(struct page *page)
{
	zk_point();
	zk_checked_pfn(page, "wait_on_page_locked");
	while (page->flags & 1UL << PG_locked)
		zk_block(page, "page lock");
}
