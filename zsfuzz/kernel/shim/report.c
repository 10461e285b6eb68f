/*
 * report.c: how a run ends that something went wrong in.
 *
 * A report fills zk_verdict and leaves the kernel's code for good: what it held stays held, so the caller puts the whole
 * world back. Crashes and endless loops are trapped by signals on a stack of their own.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include "zk/libc.h"
#include "zk/kernel.h"
#include "zk/inside.h"

struct zk_verdict zk_verdict;
const struct zk_site *zk_site;
static sigjmp_buf zk_escape;
static char zk_signal_stack[64 << 10] __attribute__((aligned(16)));
extern const char zk_image[]; /* a symbol of this library, for offsets of program counters */
const char zk_image[1] = { 0 };

static void zk_fill(const char *kind, const char *rule, const char *field)
{
	static const struct zk_site nowhere = { "", 0, "" };
	const struct zk_site *site = zk_site ? zk_site : &nowhere;
	const char *name = strrchr(site->file, '/');

	memset(&zk_verdict, 0, sizeof(zk_verdict));
	snprintf(zk_verdict.kind, sizeof(zk_verdict.kind), "%s", kind);
	snprintf(zk_verdict.rule, sizeof(zk_verdict.rule), "%s", rule);
	snprintf(zk_verdict.field, sizeof(zk_verdict.field), "%s", field);
	snprintf(zk_verdict.file, sizeof(zk_verdict.file), "%s", name ? name + 1 : site->file);
	snprintf(zk_verdict.function, sizeof(zk_verdict.function), "%s", site->function);
	zk_verdict.line = site->line;
	zk_verdict.lane = zk_lane;
}

_Noreturn void zk_report(const char *kind, const char *rule, const char *field, const char *format, ...)
{
	va_list arguments;

	zk_fill(kind, rule, field);
	va_start(arguments, format);
	vsnprintf(zk_verdict.message, sizeof(zk_verdict.message), format, arguments);
	va_end(arguments);
	siglongjmp(zk_escape, 1);
}

_Noreturn void zk_bug(const char *rule, const char *condition)
{
	char text[120];

	snprintf(text, sizeof(text), "%s(%s)", rule, condition);
	zk_report("bug", text, "", "%s fired", text);
}

_Noreturn void zk_runaway(void)
{
	zk_report("progress", "livelock", "", "an operation went on for %lu steps without coming to its end", zk_ticks);
}

static void zk_on_signal(int number, siginfo_t *info, void *context)
{
	unsigned long at = 0;

#if defined(__x86_64__)
	at = (unsigned long)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	at = (unsigned long)((ucontext_t *)context)->uc_mcontext.pc;
#endif
	if (number == SIGVTALRM) {
		zk_fill("progress", "hang", "");
		snprintf(zk_verdict.message, sizeof(zk_verdict.message), "an operation does not end");
	} else {
		zk_fill("memory", "wild access", "");
		snprintf(zk_verdict.message, sizeof(zk_verdict.message), "signal %d at address %#lx", number,
			 (unsigned long)info->si_addr);
	}
	zk_verdict.crashed = 1;
	zk_verdict.crash_offset = at;
	siglongjmp(zk_escape, 1);
}

#if defined(ZK_ASAN) || defined(ZK_UBSAN)
/* A sanitizer ends the process: say where the program was. zsfuzz/kernel/process.py reads it. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
long *zk_step_at;
static void say_step(void)
{
	fprintf(stderr, "zsfuzz: step %ld\n", zk_step_at ? *zk_step_at : 0L);
}
#endif

int zk_guarded(void (*function)(void *), void *argument, int seconds)
{
	static const int caught[] = { SIGVTALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction ours, before[ARRAY_SIZE(caught)];
	stack_t stack = { .ss_sp = zk_signal_stack, .ss_size = sizeof(zk_signal_stack) }, stack_before;
	struct itimerval timer = { .it_value = { .tv_sec = seconds } }, off = { 0 };
	volatile int outcome = 0;
	size_t number, last = ARRAY_SIZE(caught);

#ifdef ZK_ASAN
	last = 1; /* the sanitizer reports crashes better */
#endif
#if defined(ZK_ASAN) || defined(ZK_UBSAN)
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(say_step);
#endif
	memset(&ours, 0, sizeof(ours));
	ours.sa_sigaction = zk_on_signal;
	ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
	sigaltstack(&stack, &stack_before);
	for (number = 0; number < last; number++)
		sigaction(caught[number], &ours, &before[number]);
	setitimer(ITIMER_VIRTUAL, &timer, NULL);
	if (sigsetjmp(zk_escape, 0) == 0)
		function(argument);
	else
		outcome = 1;
	setitimer(ITIMER_VIRTUAL, &off, NULL);
	for (number = 0; number < last; number++)
		sigaction(caught[number], &before[number], NULL);
	if (!(stack_before.ss_flags & SS_ONSTACK))
		sigaltstack(&stack_before, NULL);
	return outcome;
}

void zk_printk(const char *format, ...)
{
	(void)format; /* what zsmalloc prints (a class that is not empty) the drained state tells as well */
}
