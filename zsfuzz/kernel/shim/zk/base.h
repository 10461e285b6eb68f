/*
 * base.h: types, constants and small macros of the kernel, as far as mm/zsmalloc.c uses them.
 *
 * Included by the shim and, through stub headers, by the kernel's own file. Only freestanding headers of the compiler are
 * taken: <linux/errno.h> and the like are stubs here, so libc's headers must not be reached from the kernel's side.
 */
#ifndef ZK_BASE_H
#define ZK_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#ifndef ZK_LIBC /* the shim's own files take these from libc */
typedef signed char s8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef int s32;
typedef unsigned int u32;
typedef long long s64;
typedef unsigned long long u64;
typedef long ssize_t;
typedef unsigned short umode_t;
typedef long loff_t;

void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *at, int value, size_t length);
int memcmp(const void *one, const void *other, size_t length);
int strcmp(const char *one, const char *other);
size_t strlen(const char *text);

#define EPERM 1
#define ENOENT 2
#define EIO 5
#define EAGAIN 11
#define ENOMEM 12
#define EBUSY 16
#define EEXIST 17
#define ENODEV 19
#define EINVAL 22
#define ENOSPC 28
#define INT_MAX 0x7fffffff
#define UINT_MAX 0xffffffffU
#define S_IFREG 0100000
#endif

typedef unsigned int gfp_t;
typedef unsigned int isolate_mode_t;
typedef unsigned int slab_flags_t;

#ifndef __maybe_unused
#define __maybe_unused __attribute__((unused))
#endif
#define __must_check
#define __init __maybe_unused
#define __exit __maybe_unused
#define __acquires(x)
#define __releases(x)
#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#define ZK__AC(x, y) (x##y)
#define _AC(x, y) ZK__AC(x, y) /* two steps, so that an argument which is a macro is replaced first */
#define BITS_PER_LONG 64
#ifndef ZK_PAGE_SHIFT
#define ZK_PAGE_SHIFT 12
#endif
#define PAGE_SHIFT ZK_PAGE_SHIFT
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define MAX_POSSIBLE_PHYSMEM_BITS 52 /* x86-64: it decides the encoding of objects */
#define SZ_16M 0x01000000
#define BIT(n) (1UL << (n))

#define MIN_OF(x, y) ({ __typeof__(x) x_ = (x); __typeof__(y) y_ = (y); x_ < y_ ? x_ : y_; })
#define min(x, y) MIN_OF(x, y)
#define min_t(type, x, y) MIN_OF((type)(x), (type)(y))
#ifndef MAX
#define MAX(x, y) ((x) >= (y) ? (x) : (y))
#endif
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define offset_in_page(p) ((unsigned long)(p) & ~PAGE_MASK)
#define is_power_of_2(n) ((n) != 0 && (((n) & ((n) - 1)) == 0))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define IS_ENABLED(option) ZK_IS_ENABLED(option)
#define ZK_IS_ENABLED(option) ZK_ENABLED_##option
#define ZK_ENABLED_1 1
#define ZK_ENABLED_CONFIG_COMPACTION 0 /* with the option on, the argument is replaced by 1 before it gets here */
#define BUILD_BUG_ON(condition) _Static_assert(!(condition), #condition)
#define ZK_ASSERT_1(condition) _Static_assert(condition, #condition)
#define static_assert(...) ZK_ASSERT_1((__VA_ARGS__)) /* one argument, as the kernel allows */

#define READ_ONCE(x) (*(volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))
#define data_race(x) (x)

#define MAX_ERRNO 4095
#define IS_ERR_VALUE(x) ((unsigned long)(void *)(x) >= (unsigned long)-MAX_ERRNO)
#define ERR_PTR(error) ((void *)(long)(error))
#define PTR_ERR(pointer) ((long)(pointer))
#define IS_ERR(pointer) IS_ERR_VALUE((unsigned long)(pointer))
#define IS_ERR_OR_NULL(pointer) (!(pointer) || IS_ERR(pointer))

#define THIS_MODULE NULL
#define EXPORT_SYMBOL_GPL(name)
#define EXPORT_SYMBOL(name)
#define MODULE_LICENSE(text)
#define MODULE_AUTHOR(text)
#define MODULE_DESCRIPTION(text)
#define MODULE_ALIAS(text)
#define KBUILD_MODNAME "zsmalloc"
#define pr_warn(...) zk_printk(__VA_ARGS__)
#define pr_info(...) zk_printk(__VA_ARGS__)
#define pr_err(...) zk_printk(__VA_ARGS__)
void zk_printk(const char *format, ...);

/* Every place of the kernel's file where the shim is entered is a site; the last one is kept for reports. */
struct zk_site {
	const char *file;
	int line;
	const char *function;
};
extern const struct zk_site *zk_site;
#define ZK_AT()                                                                                                       \
	({                                                                                                             \
		static const struct zk_site site_ = { __FILE__, __LINE__, __func__ };                                  \
		zk_site = &site_;                                                                                      \
		(void)0;                                                                                               \
	})

/* A report ends the run of the program: it does not return. kind is the oracle's word in findings. */
_Noreturn void zk_report(const char *kind, const char *rule, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
_Noreturn void zk_bug(const char *rule, const char *condition);

/* text: the condition as the kernel wrote it, taken where it is not replaced by what its macros stand for. */
#define ZK_BUG_IF(rule, text, condition)                                                                               \
	do {                                                                                                           \
		ZK_AT();                                                                                               \
		zk_tick();                                                                                             \
		if (unlikely(condition))                                                                               \
			zk_bug(rule, text);                                                                            \
	} while (0)
#define BUG() ZK_BUG_IF("BUG", "", 1)
#define BUG_ON(condition) ZK_BUG_IF("BUG_ON", #condition, condition)
#define VM_BUG_ON(condition) ZK_BUG_IF("VM_BUG_ON", #condition, condition)
#define VM_BUG_ON_PAGE(condition, page) ZK_BUG_IF("VM_BUG_ON_PAGE", #condition, condition)
#define VM_WARN_ON_ONCE(condition) ZK_BUG_IF("VM_WARN_ON_ONCE", #condition, condition)
#define WARN_ON(condition)                                                                                             \
	({                                                                                                             \
		ZK_BUG_IF("WARN_ON", #condition, condition);                                                           \
		0;                                                                                                     \
	})
#define WARN_ON_ONCE(condition) WARN_ON(condition)

#include "zk/sched.h"

#endif
