/*
 * system.c: work, shrinkers, debugfs, per-cpu data and the pseudo file system.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <limits.h>
#include "zk/libc.h"
#include "zk/kernel.h"
#include "zk/inside.h"

/* -- work */

bool zk_schedule_work(struct work_struct *work)
{
	zk_point();
	zk_check(work, sizeof(*work));
	if (work->queued)
		return false;
	if (zk_state.work_count == ZK_MAX_WORK)
		zk_report("bug", "work queue overflow", "", "more work items pending than pools can have");
	work->queued = 1;
	zk_state.work[zk_state.work_count++] = work;
	return true;
}

static void dequeue(struct work_struct *work)
{
	int number, left = 0;

	for (number = 0; number < zk_state.work_count; number++)
		if (zk_state.work[number] != work)
			zk_state.work[left++] = zk_state.work[number];
	zk_state.work_count = left;
	work->queued = 0;
}

static void run_item(struct work_struct *work)
{
	/* A work item never runs twice at once: whoever comes second waits. */
	while (work->running)
		zk_block(work, "work item");
	if (!work->queued)
		return;
	dequeue(work);
	work->running = 1;
	work->function(work);
	zk_check(work, sizeof(*work));
	work->running = 0;
	zk_wake(work);
}

/* Run what is queued now, once. Returns how many items ran. */
int zk_run_work(void)
{
	struct work_struct *items[ZK_MAX_WORK];
	int number, ran = 0, count = zk_state.work_count;

	memcpy(items, zk_state.work, sizeof(items));
	for (number = 0; number < count; number++) {
		int place;

		for (place = 0; place < zk_state.work_count && zk_state.work[place] != items[number]; place++)
			;
		if (place == zk_state.work_count)
			continue; /* another lane ran it meanwhile */
		run_item(items[number]);
		ran++;
	}
	return ran;
}

bool zk_flush_work(struct work_struct *work)
{
	bool was_queued = work->queued;

	zk_point();
	zk_check(work, sizeof(*work));
	run_item(work);
	return was_queued;
}

/* -- shrinkers */

int zk_register_shrinker(struct shrinker *shrinker)
{
	zk_point();
	if (zk_state.shrinkers_count == ZK_MAX_SHRINKERS)
		return -ENOMEM;
	shrinker->registered = true;
	zk_state.shrinkers[zk_state.shrinkers_count++] = shrinker;
	return 0;
}

void zk_unregister_shrinker(struct shrinker *shrinker)
{
	int number, left = 0;

	zk_point();
	for (number = 0; number < zk_state.shrinkers_count; number++)
		if (zk_state.shrinkers[number] != shrinker)
			zk_state.shrinkers[left++] = zk_state.shrinkers[number];
	zk_state.shrinkers_count = left;
	shrinker->registered = false;
}

struct shrinker *zk_shrinker_alloc(void)
{
	return zk_kmalloc(sizeof(struct shrinker), true);
}

void zk_shrinker_free(struct shrinker *shrinker)
{
	if (!shrinker)
		return;
	zk_unregister_shrinker(shrinker);
	zk_kfree(shrinker);
}

/* -- debugfs and seq_file */

struct dentry { int unused; };

struct dentry *zk_debugfs_create_dir(const char *name, struct dentry *parent)
{
	static struct dentry folder;

	(void)name;
	(void)parent;
	return &folder;
}

void zk_debugfs_create_file(const char *name, struct dentry *parent, void *data, const struct file_operations *fops)
{
	(void)name;
	(void)parent;
	if (zk_state.files_count == ZK_MAX_FILES)
		zk_report("bug", "too many debugfs files", "", "more debugfs files than pools can have");
	zk_state.files[zk_state.files_count].data = data;
	zk_state.files[zk_state.files_count++].fops = fops;
}

void zk_debugfs_remove(struct dentry *dentry)
{
	(void)dentry; /* entries are found by their data; the driver drops a pool's when it destroys it */
}

static void add_text(struct seq_file *file, const char *format, va_list arguments)
{
	long left = file->text_room - file->text_length;
	int written = vsnprintf(file->text + file->text_length, left > 0 ? left : 0, format, arguments);

	if (written > 0 && written < left)
		file->text_length += written;
}

static void add_value(struct seq_file *file, unsigned long value)
{
	if (file->values_count < file->values_room)
		file->values[file->values_count] = value;
	file->values_count++;
}

void seq_printf(struct seq_file *file, const char *format, ...)
{
	va_list arguments;
	const char *at;

	if (file->text) {
		va_start(arguments, format);
		add_text(file, format, arguments);
		va_end(arguments);
	}
	va_start(arguments, format);
	for (at = format; *at; at++) {
		int longs = 0;

		if (*at != '%')
			continue;
		for (at++; *at == '-' || (*at >= '0' && *at <= '9') || *at == 'l'; at++)
			longs += *at == 'l';
		if (*at == 's')
			(void)va_arg(arguments, const char *);
		else if (*at == 'd' && !longs)
			add_value(file, (unsigned long)va_arg(arguments, int));
		else if (*at == 'u' && !longs)
			add_value(file, va_arg(arguments, unsigned int));
		else if (*at == 'u' || *at == 'd')
			add_value(file, va_arg(arguments, unsigned long));
		else if (*at != '%')
			zk_report("bug", "unknown seq_printf conversion", "", "%%%c in a debugfs file", *at);
	}
	va_end(arguments);
}

void seq_puts(struct seq_file *file, const char *text)
{
	seq_printf(file, "%s", text);
}

/* -- per-cpu data */

extern char __start_zkpercpu[] __attribute__((weak)), __stop_zkpercpu[] __attribute__((weak));

void zk_percpu_boot(void)
{
	long length = __stop_zkpercpu - __start_zkpercpu;
	int lane;

	if (!__start_zkpercpu || length <= 0)
		return;
	if (length > ZK_PERCPU_BYTES)
		abort();
	for (lane = 0; lane < ZK_MAX_LANES; lane++)
		memcpy(zk_state.percpu[lane], __start_zkpercpu, length);
}

void *zk_per_cpu(const void *variable, int cpu)
{
	return zk_state.percpu[cpu] + ((const char *)variable - __start_zkpercpu);
}

int zk_cpuhp_setup(int (*startup)(unsigned int cpu), int (*teardown)(unsigned int cpu))
{
	unsigned int cpu;

	(void)teardown;
	for (cpu = 0; cpu < ZK_MAX_LANES; cpu++) {
		int result = startup(cpu);

		if (result)
			return result;
	}
	return 0;
}

/* -- pseudo file system */

static struct super_block superblock;
static struct vfsmount mount = { &superblock };

void *zk_init_pseudo(struct fs_context *context, unsigned long magic)
{
	(void)magic;
	return context;
}

struct vfsmount *zk_kern_mount(struct file_system_type *type)
{
	struct fs_context context;
	int result = type->init_fs_context(&context);

	return result ? ERR_PTR(result) : &mount;
}

void kill_anon_super(struct super_block *unused)
{
	(void)unused;
}

struct inode *zk_alloc_anon_inode(struct super_block *wanted)
{
	struct inode *inode;

	if (wanted != &superblock)
		zk_report("memory", "wild access", "mnt_sb", "alloc_anon_inode() of no superblock");
	inode = zk_kmalloc(sizeof(*inode), true);
	inode->i_mapping = zk_kmalloc(sizeof(*inode->i_mapping), true);
	return inode;
}

void zk_iput(struct inode *inode)
{
	zk_point();
	if (!inode)
		return;
	zk_kfree(inode->i_mapping);
	zk_kfree(inode);
}

/* -- memory for the driver, which cannot include libc */

#include <sys/mman.h>

void *zk_reserve(unsigned long length);
void *zk_reserve(unsigned long length)
{
	void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		abort();
	return at;
}

/* -- coverage: edges of the kernel's file when it is built with -fsanitize-coverage=trace-pc, lines through gcov */

#define MAP_BYTES 65536

static unsigned char coverage_map[MAP_BYTES] __attribute__((aligned(8)));
extern const char zk_image[];
extern bool zk_looking;

void __sanitizer_cov_trace_pc(void);
__attribute__((visibility("default"))) void __sanitizer_cov_trace_pc(void)
{
	unsigned long place = (unsigned long)__builtin_return_address(0) - (unsigned long)zk_image;

	if (!zk_looking)
		coverage_map[(place ^ place >> 16) % MAP_BYTES] = 1;
}

unsigned char *zk_coverage_map(long *length);
unsigned char *zk_coverage_map(long *length)
{
	*length = MAP_BYTES;
	return coverage_map;
}

/* List the edges met since the last call and forget them. */
long zk_coverage_take(unsigned int *edges, long room);
long zk_coverage_take(unsigned int *edges, long room)
{
	long found = 0, at, word;

	for (word = 0; word < MAP_BYTES; word += 8) {
		if (likely(!*(unsigned long *)(coverage_map + word)))
			continue;
		for (at = word; at < word + 8; at++)
			if (coverage_map[at] && found < room)
				edges[found++] = at;
		*(unsigned long *)(coverage_map + word) = 0;
	}
	return found;
}

void zk_coverage_forget(void);
void zk_coverage_forget(void)
{
	memset(coverage_map, 0, sizeof(coverage_map));
}

extern void __gcov_dump(void) __attribute__((weak));
extern void __gcov_reset(void) __attribute__((weak));
void zk_coverage_dump(void);
void zk_coverage_dump(void)
{
	if (__gcov_dump) {
		__gcov_dump();
		__gcov_reset();
	}
}

unsigned long zk_image_base(void);
unsigned long zk_image_base(void)
{
	return (unsigned long)zk_image;
}
