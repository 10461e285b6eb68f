/*
 * inside.h: what the shim's own files share and the kernel's file never sees.
 */
#ifndef ZK_INSIDE_H
#define ZK_INSIDE_H

#ifdef __SANITIZE_ADDRESS__
#define ZK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZK_ASAN 1
#endif
#endif
#ifdef ZK_ASAN
void __asan_poison_memory_region(const volatile void *at, size_t length);
void __asan_unpoison_memory_region(const volatile void *at, size_t length);
#define ZK_POISON(at, length) __asan_poison_memory_region(at, length)
#define ZK_UNPOISON(at, length) __asan_unpoison_memory_region(at, length)
#else
#define ZK_POISON(at, length) ((void)0)
#define ZK_UNPOISON(at, length) ((void)0)
#endif

#define ZK_ZONES 2
#define ZK_MAX_ORDER 6      /* the geometry of the Python machine */
#define ZK_PAGEBLOCK_ORDER 4
#define ZK_MIGRATE_TYPES 4
#define ZK_MAX_FILES 8
#define ZK_MAX_WORK 16
#define ZK_MAX_SHRINKERS 8
#define ZK_MAX_CACHES 40
#define ZK_QUARANTINE 16
#define ZK_FRAME_POISON 0xAA
#define ZK_SLAB_POISON 0x6B
#define ZK_PERCPU_BYTES 512

struct zk_slab_cache {
	const char *name;
	size_t size, stride;
	char *free_list;            /* objects, linked through their headers */
	long live;
	char *ring[ZK_QUARANTINE];  /* freed objects, oldest at ring_at */
	int ring_at, ring_used;
	bool in_use;
};

/* Everything that a program can change, but for the heap, the memmap and the frames. */
struct zk_state {
	struct list_head free_list[ZK_ZONES][ZK_MAX_ORDER][ZK_MIGRATE_TYPES];
	long vmstat[ZK_ZONES][NR_VM_ZONE_STAT_ITEMS];
	unsigned char block_type[ZK_MAX_PAGES >> ZK_PAGEBLOCK_ORDER];
	char *heap_top;
	struct zk_slab_cache caches[ZK_MAX_CACHES];
	int caches_count;
	struct work_struct *work[ZK_MAX_WORK];
	int work_count;
	struct shrinker *shrinkers[ZK_MAX_SHRINKERS];
	int shrinkers_count;
	struct { const struct file_operations *fops; void *data; } files[ZK_MAX_FILES];
	int files_count;
	const struct movable_operations *movable_ops;
	char percpu[ZK_MAX_LANES][ZK_PERCPU_BYTES];
	long fail_page, fail_zspage, fail_handle; /* countdowns of injected failures, -1: none */
};
extern struct zk_state zk_state;
extern unsigned long zk_zone_start[ZK_ZONES], zk_zone_end[ZK_ZONES];

/* World. */
void zk_memory_boot(unsigned long normal_pages, unsigned long movable_pages);
void zk_memory_save(void);
void zk_memory_restore(void);
void zk_slab_boot(void);
void zk_slab_save(void);
void zk_slab_restore(void);
void zk_slab_poison_again(void);
void zk_slab_name_kind(const char *name, int *kind);
long zk_slab_live(const char *prefix);
long zk_slab_live_all(void);
int zk_zone_of(unsigned long pfn);
bool zk_fail_hits(long *countdown);
void zk_percpu_boot(void);

/* Core: mm/migrate.c's side. */
int zk_isolate_page(struct page *page);
int zk_migrate_pages(struct page **pages, int count, enum migrate_mode mode, bool *left);
void zk_putback_page(struct page *page);
int zk_run_work(void);

/* Reports and traps. */
struct zk_verdict {
	char kind[24], rule[120], field[48], message[320], file[160], function[64];
	int line, lane, crashed;
	unsigned long crash_offset;
};
extern struct zk_verdict zk_verdict;
#if defined(ZK_ASAN) || defined(ZK_UBSAN)
extern long *zk_step_at;
#endif
int zk_guarded(void (*function)(void *), void *argument, int seconds); /* 0: ended; 1: a report is in zk_verdict */

/* Lanes. */
struct zk_switch {
	int lane, op, point, to;
};
struct zk_schedule {
	const struct zk_switch *switches;
	int switches_count;
	int policy; /* ZK_POLICY_* */
	unsigned long seed;
	int chance; /* of 65536: that a random policy switches, that the lane with the highest priority falls */
	struct zk_switch *record;
	int record_room, record_count;
};
enum { ZK_POLICY_NONE, ZK_POLICY_RANDOM, ZK_POLICY_PRIORITY, ZK_POLICY_ROUND_ROBIN };
void zk_run_lanes(int count, void (*body)(int lane), struct zk_schedule *schedule);
void zk_lane_starts_op(int op);
long zk_lane_points(int lane);
extern unsigned long zk_points, zk_switches;
extern bool zk_looking; /* an oracle looks inside: no switches */

#endif
