/*
 * driver.c: the one file that includes the kernel's own mm/zsmalloc.c, so that its statics can be looked at.
 *
 * A program comes as a batch of words, what it did goes out as a stream of records. What makes sense in a state is decided here
 * by the same rules as in zsfuzz/execute/execution.py: an operation that makes none is a no-op and leaves no record.
 *
 *     batch:   operations, each a head word (code | small arguments | slot << 32) and what its code says follows
 *     stream:  records, each kind << 56 | step << 32 | number of words, and the words
 */
#include "zk/kernel.h"
#include ZK_SOURCE
#include "zk/inside.h"
#include "era.h"
#include "api.h"

enum code { /* zsfuzz/kernel/lower.py has the same numbers */
	OP_NONE, OP_MALLOC, OP_FREE, OP_MAP, OP_UNMAP, OP_WRITE, OP_READ, OP_COMPACT, OP_SHRINK, OP_ISOLATE, OP_MIGRATE, OP_PUTBACK,
	OP_RUN_WORK, OP_FAIL, OP_STATS, OP_HUGE_CLASS_SIZE, OP_CREATE_POOL, OP_DESTROY_POOL, OP_TRIM, OP_GET, OP_PUT, OP_PARALLEL,
	OP_CODES,
};
enum record { REC_STEP = 1, REC_COUNTERS, REC_PLACES, REC_POOL, REC_CLASS, REC_ZSPAGE, REC_OBJECT, REC_FREE_LISTS, REC_PAGES,
	      REC_TEXT, REC_DRAINED,
	      REC_LANE_STEP };
enum { LEVEL_CONTRACT, LEVEL_STATE, LEVEL_FULL, LEVEL_BYTES };
enum { MODE_RO, MODE_WO, MODE_RW };
enum { FAIL_MALLOC, FAIL_MIGRATE, FAIL_CREATE_POOL, FAIL_OTHER, FAIL_OPERATIONS };

#define MAX_SLOTS (1L << 20)
#define MAX_PAGE_SLOTS 4096
#define MAX_POOLS 4
#define MAX_MIGRATE 512
#define MAX_CHAIN 16
#define OBJECTS_A_STEP 64 /* zsfuzz/execute/execution.py, by the same name */
#define FEATURE_BITS 16384

struct slot {
	unsigned long handle;
	unsigned int size;
	unsigned char live, pool, busy, fully_known;
	u8 *bytes, *known;
};
struct named_page {
	struct page *page;
	long slot;
	bool busy;
};
struct lane_state {
	long mapped; /* slot + 1, 0: none */
	int mode;
	char *address;  /* of the mapping, where the kernel has mappings */
	char buffer[2 * PAGE_SIZE];
	char copy[2 * PAGE_SIZE];
	const unsigned long long *words;
	long words_count;
};

static struct slot *slots;
static long slots_used, live_objects, objects_in_pool[MAX_POOLS];
static struct named_page isolated_pages[MAX_PAGE_SLOTS], references[MAX_PAGE_SLOTS];
static int isolated_count, references_count;
static struct zs_pool *pools[MAX_POOLS];
static int pool_order[MAX_POOLS], pools_count;
static bool class_used[MAX_POOLS][ZS_SIZE_CLASSES];
static long armed[FAIL_OPERATIONS][3];
static int armed_count;
static struct lane_state lane_states[ZK_MAX_LANES];
static u8 *content_base, *content_top;
static const struct zk_options *options;
static struct zk_result *result;
static long placed_at;
static bool ran_parallel;
static unsigned long boot_normal, boot_movable;
static struct zs_pool *boot_pool;
static unsigned int boot_known_before[ZK_LOCK_CLASSES];
static long boot_free[ZK_ZONES], boot_handles, boot_zspages;
static unsigned char feature_seen[FEATURE_BITS / 8];
static unsigned int feature_list[FEATURE_BITS];
static long features_count;
static int previous_code;
static long previous_counters[4];

void *zk_reserve(unsigned long length);
void zk_coverage_forget(void);

/* -- the stream */

static unsigned long long *output, *output_at, *output_end, *record_at;

static inline void emit(unsigned long long word)
{
	if (likely(output_at < output_end))
		*output_at = word;
	output_at++;
}

static void begin_record(enum record kind, long step)
{
	record_at = output_at;
	emit((unsigned long long)kind << 56 | (unsigned long long)step << 32);
}

static void end_record(bool may_be_hashed)
{
	unsigned long long words = output_at - record_at - 1, hash = 0x9E3779B97F4A7C15ULL, *at;

	if (output_at > output_end)
		return;
	if (may_be_hashed && options->level == LEVEL_STATE && !options->text && words > 4) {
		for (at = record_at + 1; at < output_at; at++) {
			hash = (hash ^ *at) * 0xD6E8FEB86659FD93ULL;
			hash ^= hash >> 32;
		}
		record_at[1] = hash;
		output_at = record_at + 2;
		words = 1;
	}
	*record_at |= words;
}

static void note_feature(int code, unsigned long outcome)
{
	unsigned long state = 0, word;
	long now[4] = { zk_state.vmstat[0][NR_FREE_PAGES], zk_state.vmstat[0][NR_ZSPAGES], zk_state.vmstat[1][NR_FREE_PAGES],
			zk_state.vmstat[1][NR_ZSPAGES] };
	int number;

	for (number = 0; number < 4; number++) {
		long delta = now[number] - previous_counters[number];

		state = state * 5 + (delta == 0 ? 0 : 1 + (delta > 0) + 2 * (delta > 4 || delta < -4));
		previous_counters[number] = now[number];
	}
	state = state * 4 + (isolated_count < 3 ? isolated_count : 3);
	state = state * 2 + (zk_state.work_count != 0);
	word = (outcome < 64 ? outcome : 64) * 32 + code;
	for (number = 0; number < 2; number++) {
		unsigned long mixed = number ? (previous_code * 64 + code) * 0x9E3779B1UL + word
					     : (word << 13 ^ state) * 0x85EBCA77UL;

		mixed = (mixed ^ mixed >> 15) % FEATURE_BITS;
		if (!(feature_seen[mixed >> 3] >> (mixed & 7) & 1)) {
			feature_seen[mixed >> 3] |= 1 << (mixed & 7);
			feature_list[features_count++] = mixed;
		}
	}
	previous_code = code;
}

/* -- the outcome of one operation; emitted at its end, when no other lane can come between */

struct outcome {
	int count;
	unsigned long words[6];
	const void *extra;      /* bytes or words that follow */
	long extra_words;
	bool no_op;
};

static struct outcome no_op(void)
{
	return (struct outcome){ .no_op = true };
}

static struct outcome one(long value)
{
	return (struct outcome){ .count = 1, .words = { value } };
}

/* Calls of zsmalloc's interface: what they return is the contract. */
static bool is_interface(enum code code)
{
	return (code >= OP_MALLOC && code <= OP_READ) || code == OP_CREATE_POOL || code == OP_DESTROY_POOL;
}

static bool at_state(void)
{
	return options->level >= LEVEL_STATE;
}

/* -- slots and names */

static struct slot *live_slot(long number)
{
	struct slot *slot = &slots[number];

	return number < slots_used && slot->live && !(slot->busy && slot->busy != zk_lane + 1) ? slot : NULL;
}

static struct named_page *find_page(struct named_page *pages, int count, long slot)
{
	int number;

	for (number = 0; number < count; number++)
		if (pages[number].slot == slot)
			return &pages[number];
	return NULL;
}

static void drop_page(struct named_page *pages, int *count, struct named_page *gone)
{
	memmove(gone, gone + 1, (char *)&pages[*count] - (char *)(gone + 1));
	--*count;
}

static bool is_alive(const void *object)
{
	unsigned long offset = (const char *)object - zk_heap;

	return offset < (unsigned long)(zk_state.heap_top - zk_heap) && !(offset & 7) && zk_heap_live[offset >> 3];
}

static bool is_page(const struct page *page)
{
	unsigned long offset = (const char *)page - (const char *)zk_memmap;

	return offset < zk_pages_count * sizeof(struct page) && offset % sizeof(struct page) == 0;
}

static struct zspage *zspage_of_handle(unsigned long handle)
{
	return era_zspage(zk_pfn_to_page(era_place(handle) >> 32));
}

/*
 * A page by its name, NULL for none. While other lanes run the chain may be half changed: what leads nowhere names nothing.
 */
static struct page *page_named(unsigned long long name)
{
	unsigned long kind = name >> 62, number = name >> 32 & 0x3fffffff, index = name & 0xffffffff;
	struct named_page *isolated;
	struct zspage *zspage;
	struct size_class *class;
	struct slot *slot;
	struct page *page;

	if (kind == 2)
		return zk_memmap + index % zk_pages_count;
	if (kind == 1) {
		isolated = find_page(isolated_pages, isolated_count, number);
		return isolated && !isolated->busy ? isolated->page : NULL;
	}
	slot = live_slot(number);
	if (!slot)
		return NULL;
	zspage = era_place(slot->handle) >> 32 < zk_pages_count ? zspage_of_handle(slot->handle) : NULL;
	if (!is_alive(zspage) || zspage->class >= ZS_SIZE_CLASSES)
		return NULL;
	class = pools[slot->pool]->size_class[zspage->class];
	page = era_first_page(zspage);
	for (index %= class->pages_per_zspage; index && is_page(page); index--)
		page = era_next_page(class, page);
	return is_page(page) ? page : NULL;
}

/* -- what objects have to hold */

static void note_content(struct slot *slot, unsigned long offset, const u8 *data, unsigned long length)
{
	if (!slot->bytes) {
		slot->bytes = content_top;
		slot->known = content_top + slot->size;
		content_top += 2 * slot->size;
		memset(slot->known, 0, slot->size);
	}
	memcpy(slot->bytes + offset, data, length);
	memset(slot->known + offset, 0xff, length);
	if (offset == 0 && length == slot->size)
		slot->fully_known = 1;
}

static void check_content(long number, struct slot *slot, unsigned long offset, const u8 *data, unsigned long length)
{
	unsigned long at;

	if (!slot->bytes)
		return;
	if (likely(slot->fully_known) ? memcmp(slot->bytes + offset, data, length) == 0 : false)
		return;
	for (at = 0; at + 8 <= length; at += 8) {
		unsigned long want, have, known;

		memcpy(&want, slot->bytes + offset + at, 8);
		memcpy(&have, data + at, 8);
		memcpy(&known, slot->known + offset + at, 8);
		if (unlikely((want ^ have) & known))
			break;
	}
	for (; at < length; at++)
		if ((slot->bytes[offset + at] ^ data[at]) & slot->known[offset + at])
			zk_report("contract", "object content", "bytes", "h%ld byte %lu of %u is not what was written", number,
				  offset + at, slot->size);
}

static u8 patterns[256][4096];

static void make_patterns(void)
{
	int number, offset;

	for (number = 0; number < 256; number++)
		for (offset = 0; offset < 4096; offset++)
			patterns[number][offset] = ((offset * 29 + (offset >> 8) * 11) & 0xff) + number * 167;
}

/* -- objects */

static struct outcome do_malloc(long number, int pool, unsigned long size, bool kernel_gfp)
{
	gfp_t gfp = kernel_gfp ? GFP_KERNEL : GFP_NOIO | __GFP_HIGHMEM | __GFP_MOVABLE;
	struct slot *slot = &slots[number];
	unsigned long handle;

	if ((number < slots_used && (slot->live || slot->busy)) || !pools[pool])
		return no_op();
	while (slots_used <= number)
		slots[slots_used++] = (struct slot){ 0 };
	slot->busy = zk_lane + 1;
	handle = era_malloc(pools[pool], size, gfp);
	slot->busy = 0;
	if (!handle || IS_ERR_VALUE(handle))
		return (struct outcome){ .count = at_state() ? 2 : 4, .words = { 0, -(long)handle, zk_state.vmstat[0][NR_FREE_PAGES],
									zk_state.vmstat[1][NR_FREE_PAGES] } };
	*slot = (struct slot){ .handle = handle, .size = size, .live = 1, .pool = pool };
	live_objects++;
	objects_in_pool[pool]++;
	class_used[pool][pools[pool]->size_class[get_size_class_index(size + ZS_HANDLE_SIZE)]->index] = true;
	return (struct outcome){ .count = at_state() ? 2 : 1, .words = { 1, era_place(handle) } };
}

static struct outcome do_free(long number)
{
	struct slot *slot = live_slot(number);
	unsigned long handle;

	if (!slot)
		return no_op();
	handle = slot->handle;
	slot->live = 0;
	slot->busy = zk_lane + 1;
	live_objects--;
	zs_free(pools[slot->pool], handle);
	objects_in_pool[slot->pool]--;
	slot->busy = 0;
	return one(0);
}

#if ZK_OBJ_READ
/*
 * Kernels that have no mappings: a mapping is a read that is held, or a buffer that is written back at its end.
 */
static void map_object(struct lane_state *lane, struct slot *slot, int mode)
{
	struct zs_pool *pool = pools[slot->pool];
	char *bytes;

	if (mode == MODE_RO) {
		lane->address = zs_obj_read_begin(pool, slot->handle, slot->size, lane->copy);
		return;
	}
	lane->address = lane->buffer;
	if (mode == MODE_WO)
		return;
	bytes = zs_obj_read_begin(pool, slot->handle, slot->size, lane->copy);
	memcpy(lane->buffer, bytes, slot->size);
	zs_obj_read_end(pool, slot->handle, slot->size, bytes);
}

static void unmap_object(struct lane_state *lane, struct slot *slot, int mode)
{
	if (mode == MODE_RO)
		zs_obj_read_end(pools[slot->pool], slot->handle, slot->size, lane->address);
	else
		zs_obj_write(pools[slot->pool], slot->handle, lane->buffer, slot->size);
}

/* The third way to read, which block drivers take: the pages themselves. */
static void read_by_pages(struct lane_state *lane, struct slot *slot)
{
	struct scatterlist list[2] = { { 0 } };

	zs_obj_read_sg_begin(pools[slot->pool], slot->handle, list, slot->size);
	memcpy(lane->buffer, (char *)zk_kmap(list[0].page) + list[0].offset, list[0].length);
	if (list[0].length < slot->size)
		memcpy(lane->buffer + list[0].length, (char *)zk_kmap(list[1].page) + list[1].offset, list[1].length);
	zs_obj_read_sg_end(pools[slot->pool], slot->handle);
}
#else
static void map_object(struct lane_state *lane, struct slot *slot, int mode)
{
	static const enum zs_mapmode modes[] = { [MODE_RO] = ZS_MM_RO, [MODE_WO] = ZS_MM_WO, [MODE_RW] = ZS_MM_RW };

	lane->address = zs_map_object(pools[slot->pool], slot->handle, modes[mode]);
}

static void unmap_object(struct lane_state *lane, struct slot *slot, int mode)
{
	(void)lane;
	(void)mode;
	zs_unmap_object(pools[slot->pool], slot->handle);
}
#endif

static struct outcome do_map(long number, int mode)
{
	struct lane_state *lane = &lane_states[zk_lane];
	struct slot *slot = live_slot(number);

	if (!slot || slot->busy)
		return no_op();
	slot->busy = zk_lane + 1;
	map_object(lane, slot, mode);
	lane->mapped = number + 1;
	lane->mode = mode;
	if (mode == MODE_WO && slot->known) {
		memset(slot->known, 0, slot->size);
		slot->fully_known = 0;
	}
	return one(0);
}

static struct outcome do_unmap(long number)
{
	struct lane_state *lane = &lane_states[zk_lane];

	if (lane->mapped != number + 1)
		return no_op();
	unmap_object(lane, &slots[number], lane->mode);
	slots[number].busy = 0;
	lane->mapped = 0;
	return one(0);
}

static struct outcome do_write(long number, unsigned long offset, unsigned long length, int pattern)
{
	struct lane_state *lane = &lane_states[zk_lane];
	struct slot *slot = live_slot(number);
	bool implicit = !lane->mapped;
	unsigned long end;

	if (!slot || (implicit && slot->busy) || (!implicit && (lane->mapped != number + 1 || lane->mode == MODE_RO)))
		return no_op();
	offset = min(offset, (unsigned long)slot->size);
	end = min(min(offset + length, (unsigned long)slot->size), 4096UL);
	if (end <= offset)
		return no_op();
	if (implicit)
		do_map(number, MODE_RW);
	memcpy(lane->address + offset, patterns[pattern] + offset, end - offset);
	note_content(slot, offset, patterns[pattern] + offset, end - offset);
	if (implicit)
		do_unmap(number);
	return one(end - offset);
}

static struct outcome do_read(long number, unsigned long offset, unsigned long length)
{
	struct lane_state *lane = &lane_states[zk_lane];
	struct slot *slot = live_slot(number);
	bool implicit = !lane->mapped;
	struct outcome outcome;

	if (!slot || (implicit && slot->busy) || (!implicit && (lane->mapped != number + 1 || lane->mode == MODE_WO)))
		return no_op();
	offset = min(offset, (unsigned long)slot->size);
	length = min(length, slot->size - offset);
	if (!length)
		return no_op();
#if ZK_OBJ_READ
	if (implicit && length & 1) {
		slot->busy = zk_lane + 1;
		read_by_pages(lane, slot);
		slot->busy = 0;
		check_content(number, slot, offset, (u8 *)lane->buffer + offset, length);
		return one(length);
	}
#endif
	if (implicit)
		do_map(number, MODE_RO);
	check_content(number, slot, offset, (u8 *)lane->address + offset, length);
	outcome = one(length);
	if (options->level == LEVEL_BYTES) {
		memset(lane->copy + PAGE_SIZE, 0, PAGE_SIZE);
		memcpy(lane->copy + PAGE_SIZE, lane->address + offset, length);
		outcome.extra = lane->copy + PAGE_SIZE;
		outcome.extra_words = (length + 7) / 8;
	}
	if (implicit)
		do_unmap(number);
	return outcome;
}

/* -- pools */

static struct outcome do_shrink(int pool, bool scan)
{
	struct shrink_control control = { .gfp_mask = GFP_KERNEL, .nr_to_scan = 128 };
	struct shrinker *shrinker;

	if (!pools[pool])
		return no_op();
	shrinker = era_shrinker(pools[pool]);
	if (!shrinker || !shrinker->registered)
		return no_op();
	return one(scan ? shrinker->scan_objects(shrinker, &control) : shrinker->count_objects(shrinker, &control));
}

static int file_of(const struct zs_pool *pool)
{
	int number;

	for (number = 0; number < zk_state.files_count; number++)
		if (zk_state.files[number].data == pool)
			return number;
	return -1;
}

static struct outcome do_stats(int pool)
{
	static unsigned long values[ZK_MAX_LANES][ZS_SIZE_CLASSES * 20];
	static char text[256 * 256];
	struct seq_file file = { .values = values[zk_lane], .values_room = ZS_SIZE_CLASSES * 20 };
	struct zs_pool_stats stats;
	int number;

	if (!pools[pool])
		return no_op();
	zs_pool_stats(pools[pool], &stats);
	number = file_of(pools[pool]);
	if (number >= 0) {
		file.private = pools[pool];
		if (options->text && !zk_parallel) {
			file.text = text;
			file.text_room = sizeof(text);
		}
		zk_state.files[number].fops->show(&file, NULL);
	}
	if (file.values_count > file.values_room)
		file.values_count = file.values_room;
	return (struct outcome){
		.count = 2,
		.words = { zs_get_total_pages(pools[pool]), atomic_long_read(&stats.pages_compacted) },
		.extra = file.values,
		.extra_words = at_state() ? file.values_count : 0,
	};
}

static struct outcome do_create_pool(int pool)
{
	struct zs_pool *made;

	if (pools[pool] || references_count)
		return no_op();
	made = zs_create_pool("zsfuzz");
	if (!made)
		return one(0);
	pools[pool] = made;
	pool_order[pools_count++] = pool;
	memset(class_used[pool], 0, sizeof(class_used[pool]));
	return one(1);
}

static struct outcome do_destroy_pool(int pool)
{
	struct zs_pool *gone = pools[pool];
	int number, left = 0;

	if (!gone || objects_in_pool[pool] || isolated_count || references_count || zk_parallel)
		return no_op();
	number = file_of(gone);
	if (number >= 0)
		zk_state.files[number] = zk_state.files[--zk_state.files_count];
	pools[pool] = NULL;
	for (number = 0; number < pools_count; number++)
		if (pool_order[number] != pool)
			pool_order[left++] = pool_order[number];
	pools_count = left;
	zs_destroy_pool(gone);
	return one(0);
}

static unsigned long pages_of_all_pools(void)
{
	unsigned long pages = 0;
	int number;

	for (number = 0; number < pools_count; number++)
		pages += zs_get_total_pages(pools[pool_order[number]]);
	return pages;
}

static struct outcome do_trim(void)
{
	unsigned long freed = 0, before;
	int round, number;

	for (round = 0; round < 8; round++) {
		before = pages_of_all_pools();
		for (number = 0; number < pools_count; number++)
			freed += zs_compact(pools[pool_order[number]]);
		zk_run_work();
		if (pages_of_all_pools() == before)
			break;
	}
	return one(freed);
}

/* -- pages */

static struct outcome do_isolate(long number, unsigned long long name)
{
	struct page *page;
	int error;

	if (find_page(isolated_pages, isolated_count, number) || isolated_count == MAX_PAGE_SLOTS)
		return no_op();
	page = page_named(name);
	if (!page)
		return no_op();
	error = zk_isolate_page(page);
	if (error == 0) {
		if (find_page(isolated_pages, isolated_count, number)) /* another lane took the name meanwhile */
			zk_putback_page(page);
		else
			isolated_pages[isolated_count++] = (struct named_page){ page, number };
	}
	return one(error);
}

static struct outcome do_migrate(enum migrate_mode mode, const unsigned long long *names, int count)
{
	struct page *wanted[MAX_MIGRATE], *pages[MAX_MIGRATE];
	bool left[MAX_MIGRATE] = { false };
	int number, other, known = 0, listed = 0, refused = 0, outcome;

	for (number = 0; number < count; number++) {
		struct page *page = page_named(names[number]);

		for (other = 0; other < known && wanted[other] != page; other++)
			;
		if (page && other == known)
			wanted[known++] = page;
	}
	if (!known)
		return no_op();
	for (number = 0; number < known; number++) {
		for (other = 0; other < isolated_count && isolated_pages[other].page != wanted[number]; other++)
			;
		if (other < isolated_count) {
			if (isolated_pages[other].busy)
				continue;
			drop_page(isolated_pages, &isolated_count, &isolated_pages[other]); /* it is this request's now */
		} else if (zk_isolate_page(wanted[number]) != 0) {
			refused++;
			continue;
		}
		pages[listed++] = wanted[number];
	}
	outcome = zk_migrate_pages(pages, listed, mode, left);
	for (number = 0; number < listed; number++)
		if (!left[number])
			zk_putback_page(pages[number]);
	return (struct outcome){ .count = 2, .words = { outcome, refused } };
}

static struct outcome do_putback(long number)
{
	struct named_page *isolated = find_page(isolated_pages, isolated_count, number);
	struct page *page;

	if (!isolated || isolated->busy)
		return no_op();
	page = isolated->page;
	drop_page(isolated_pages, &isolated_count, isolated);
	zk_putback_page(page);
	return one(0);
}

static struct outcome do_get(long number, unsigned long long name)
{
	struct page *page;

	if (find_page(references, references_count, number) || references_count == MAX_PAGE_SLOTS)
		return no_op();
	page = page_named(name);
	if (!page)
		return no_op();
	if (!zk_get_page_unless_zero(page))
		return one(0);
	if (find_page(references, references_count, number)) {
		zk_put_page(page);
		return one(0);
	}
	references[references_count++] = (struct named_page){ page, number };
	return one(1);
}

static struct outcome do_put(long number)
{
	struct named_page *reference = find_page(references, references_count, number);
	struct page *page;

	if (!reference)
		return no_op();
	page = reference->page;
	drop_page(references, &references_count, reference);
	zk_put_page(page);
	return one(0);
}

/* -- one operation */

static long op_length(const unsigned long long *at)
{
	switch ((enum code)(at[0] & 0xff)) {
	case OP_MALLOC:
	case OP_WRITE:
	case OP_READ:
	case OP_ISOLATE:
	case OP_GET:
		return 2;
	case OP_MIGRATE:
		return 1 + (at[0] >> 32);
	default:
		return 1;
	}
}

static struct outcome perform(const unsigned long long *at)
{
	enum code code = at[0] & 0xff;
	int small = at[0] >> 8 & 0xff, pool = at[0] >> 16 & 3;
	long slot = at[0] >> 32;

	switch (code) {
	case OP_MALLOC:
		return do_malloc(slot, pool, at[1], small);
	case OP_FREE:
		return do_free(slot);
	case OP_MAP:
		return do_map(slot, small);
	case OP_UNMAP:
		return do_unmap(slot);
	case OP_WRITE:
		return do_write(slot, at[1] >> 32, at[1] & 0xffffffff, small);
	case OP_READ:
		return do_read(slot, at[1] >> 32, at[1] & 0xffffffff);
	case OP_COMPACT:
		return pools[pool] ? one(zs_compact(pools[pool])) : no_op();
	case OP_SHRINK:
		return do_shrink(pool, small);
	case OP_ISOLATE:
		return do_isolate(slot, at[1]);
	case OP_MIGRATE:
		return do_migrate(small, at + 1, slot);
	case OP_PUTBACK:
		return do_putback(slot);
	case OP_RUN_WORK:
		return one(zk_run_work());
	case OP_STATS:
		return do_stats(pool);
	case OP_HUGE_CLASS_SIZE:
		return pools[pool] ? one(zs_huge_class_size(pools[pool])) : no_op();
	case OP_CREATE_POOL:
		return do_create_pool(pool);
	case OP_DESTROY_POOL:
		return do_destroy_pool(pool);
	case OP_TRIM:
		return do_trim();
	case OP_GET:
		return do_get(slot, at[1]);
	case OP_PUT:
		return do_put(slot);
	case OP_FAIL:
		armed_count += armed[small][pool] < 0;
		armed[small][pool] = slot;
		return one(0);
	default:
		return no_op();
	}
}

static int fail_operation(enum code code)
{
	return code == OP_MALLOC ? FAIL_MALLOC : code == OP_MIGRATE ? FAIL_MIGRATE : code == OP_CREATE_POOL ? FAIL_CREATE_POOL : -1;
}

/* The map contract and held references make an operation a no-op: Execution._is_forbidden(). */
static bool is_forbidden(enum code code)
{
	if (lane_states[zk_lane].mapped)
		return code != OP_READ && code != OP_WRITE && code != OP_UNMAP;
	return references_count && code == OP_MIGRATE && armed[FAIL_MIGRATE][0] >= 0;
}

static struct outcome perform_with_failures(const unsigned long long *at)
{
	int operation = armed_count ? fail_operation(at[0] & 0xff) : -1, what;
	struct outcome outcome;

	if (likely(operation < 0))
		return perform(at);
	zk_state.fail_page = armed[operation][0];
	zk_state.fail_zspage = armed[operation][1];
	zk_state.fail_handle = armed[operation][2];
	for (what = 0; what < 3; what++) {
		armed_count -= armed[operation][what] >= 0;
		armed[operation][what] = -1;
	}
	outcome = perform(at);
	zk_state.fail_page = zk_state.fail_zspage = zk_state.fail_handle = -1;
	return outcome;
}

static bool moves_objects(enum code code)
{
	return code == OP_COMPACT || code == OP_SHRINK || code == OP_MIGRATE || code == OP_TRIM;
}

static void emit_counters(long step)
{
	begin_record(REC_COUNTERS, step);
	emit(zk_state.vmstat[0][NR_FREE_PAGES]);
	emit(zk_state.vmstat[0][NR_ZSPAGES]);
	emit(zk_state.vmstat[1][NR_FREE_PAGES]);
	emit(zk_state.vmstat[1][NR_ZSPAGES]);
	end_record(false);
}

static void emit_places(long step)
{
	long number;

	begin_record(REC_PLACES, step);
	for (number = 0; number < slots_used; number++) {
		if (slots[number].live) {
			emit(number);
			emit(era_place(slots[number].handle));
		}
	}
	end_record(true);
}

static void emit_outcome(long step, enum code code, const struct outcome *outcome)
{
	const unsigned long long *extra = outcome->extra;
	long number;

	begin_record(zk_parallel ? REC_LANE_STEP : REC_STEP, step);
	emit(code);
	for (number = 0; number < outcome->count; number++)
		emit(outcome->words[number]);
	for (number = 0; number < outcome->extra_words; number++)
		emit(extra[number]);
	end_record(false);
}

static void run_step(const unsigned long long *at, long step)
{
	enum code code = at[0] & 0xff;
	struct outcome outcome;

	if (is_forbidden(code)) {
		result->no_ops++;
		return;
	}
	outcome = perform_with_failures(at);
	if (outcome.no_op) {
		result->no_ops++;
		return;
	}
	result->effective++;
	if (at_state() || zk_parallel || is_interface(code))
		emit_outcome(step, code, &outcome);
	note_feature(code, outcome.words[0]);
	if (zk_parallel)
		return;
	if (at_state()) {
		emit_counters(step);
		if (moves_objects(code) && live_objects <= (result->effective - placed_at) * OBJECTS_A_STEP) {
			placed_at = result->effective;
			emit_places(step);
		}
	}
	if (unlikely(!lane_states[0].mapped && zk_held[0].mask)) {
		int class_id = __builtin_ctz(zk_held[0].mask);

		zk_report("invariant", "I5 lock held at quiescence", zk_lock_class_name(class_id), "holds %s",
			  zk_lock_class_name(class_id));
	}
}

#include "audit.h"

/* -- parallel blocks */

static void lane_body(int number)
{
	struct lane_state *lane = &lane_states[number];
	const unsigned long long *at = lane->words, *end = at + lane->words_count;
	int op = 0;

	for (; at < end; at += op_length(at), op++) {
		zk_lane_starts_op(op);
		zk_point(); /* between two operations another lane may run, whatever they are */
		run_step(at, (long)number << 20 | op);
	}
	if (lane->mapped) /* still part of the last operation */
		do_unmap(lane->mapped - 1);
	zk_lane_starts_op(op);
}

static struct zk_schedule schedule;

static void run_parallel(const unsigned long long *at)
{
	struct zk_options *wanted = (struct zk_options *)options;
	const unsigned long long *words;
	int lanes = at[0] >> 8 & 0xff, number;

	schedule = (struct zk_schedule){
		.switches = (const struct zk_switch *)wanted->switches,
		.switches_count = wanted->switches_count,
		.policy = wanted->policy,
		.seed = wanted->seed,
		.chance = wanted->chance,
		.record = (struct zk_switch *)wanted->record,
		.record_room = wanted->record_room,
	};
	words = at + 1 + lanes;
	for (number = 0; number < lanes; number++) {
		lane_states[number].words = words;
		lane_states[number].words_count = at[1 + number];
		words += at[1 + number];
	}
	zk_run_lanes(lanes, lane_body, &schedule);
	for (number = 0; number < lanes; number++)
		if (zk_held[number].mask)
			zk_report("invariant", "I5 lock held at quiescence",
				  zk_lock_class_name(__builtin_ctz(zk_held[number].mask)), "lane %d ends and holds %s", number,
				  zk_lock_class_name(__builtin_ctz(zk_held[number].mask)));
}

/* -- a whole program */

static void boot(void)
{
	int error;

	memset(zk_known_before, 0, sizeof(zk_known_before));
	memset(zk_held, 0, sizeof(zk_held));
	zk_memory_boot(options->normal_pages, options->movable_pages);
	zk_slab_boot();
	zk_percpu_boot();
	error = zk_module_init();
	if (error)
		zk_report("bug", "module_init failed", "", "module_init() returned %d", error);
	boot_pool = zs_create_pool("zsfuzz");
	if (!boot_pool)
		zk_report("bug", "zs_create_pool failed", "", "zs_create_pool() returned NULL at boot");
	zk_slab_save();
	zk_memory_save();
	memcpy(boot_known_before, zk_known_before, sizeof(zk_known_before));
	boot_normal = options->normal_pages;
	boot_movable = options->movable_pages;
	boot_free[0] = zk_state.vmstat[0][NR_FREE_PAGES];
	boot_free[1] = zk_state.vmstat[1][NR_FREE_PAGES];
	boot_handles = zk_slab_live("zs_handle");
	boot_zspages = zk_slab_live("zspage");
}

static void reset(void)
{
	int number;

	if (!slots) {
		slots = zk_reserve(MAX_SLOTS * sizeof(struct slot));
		content_base = zk_reserve(1UL << 32);
		make_patterns();
	}
	if (boot_normal != options->normal_pages || boot_movable != options->movable_pages) {
		boot_normal = boot_movable = 0;
		boot();
		zk_coverage_forget(); /* what booting passes belongs to no program */
	} else {
		zk_slab_restore();
		zk_memory_restore();
		zk_slab_poison_again();
	}
	content_top = content_base;
	slots_used = live_objects = placed_at = 0;
	memset(objects_in_pool, 0, sizeof(objects_in_pool));
	isolated_count = references_count = 0;
	memset(pools, 0, sizeof(pools));
	pools[0] = boot_pool;
	pool_order[0] = 0;
	pools_count = 1;
	memset(class_used[0], 0, sizeof(class_used[0]));
	memset(armed, 0xff, sizeof(armed));
	armed_count = 0;
	for (number = 0; number < ZK_MAX_LANES; number++)
		lane_states[number].mapped = 0;
	memset(feature_seen, 0, sizeof(feature_seen));
	features_count = previous_code = 0;
	ran_parallel = false;
	memset(zk_held, 0, sizeof(zk_held));
	memcpy(zk_known_before, boot_known_before, sizeof(zk_known_before));
	zk_locks_taken = 0;
	for (number = 0; number < 2; number++) {
		previous_counters[2 * number] = zk_state.vmstat[number][NR_FREE_PAGES];
		previous_counters[2 * number + 1] = 0;
	}
}

struct run {
	const unsigned long long *batch, *end;
};

static void finish(void)
{
	if (lane_states[0].mapped)
		do_unmap(lane_states[0].mapped - 1);
	if (options->audit)
		audit();
	if (!ran_parallel) /* its end state depends on points that two kernels do not share */
		observe(result->step);
	read_everything();
	drain(result->step);
}

static void run_program(void *argument)
{
	struct run *run = argument;
	const unsigned long long *at;
	long step = 0;

	zk_site = NULL;
	zk_parallel = zk_lane = 0;
	zk_looking = false;
	zk_ticks = 0;
	zk_tick_limit = 1UL << 40; /* booting is not counted */
	reset();
	for (at = run->batch; at < run->end; step++) {
		result->step = step;
		zk_tick_limit = zk_ticks + 4000000 + 200 * zk_pages_count;
		if ((at[0] & 0xff) == OP_PARALLEL) {
			int lanes = at[0] >> 8 & 0xff, lane;
			const unsigned long long *next = at + 1 + lanes;

			for (lane = 0; lane < lanes; lane++)
				next += at[1 + lane];
			ran_parallel = true;
			run_parallel(at);
			ran_parallel = true;
			run_parallel(at);
			at = next;
			if (options->audit)
				audit();
			step--; /* a block is no step */
			continue;
		}
		run_step(at, step);
		at += op_length(at);
		if (options->cadence && (step + 1) % options->cadence == 0 && !lane_states[0].mapped && at < run->end) {
			if (options->audit)
				audit();
			observe(step);
		}
	}
	result->step = step;
	zk_tick_limit = zk_ticks + (1UL << 32);
	finish();
}

int zk_run(const unsigned long long *batch, long batch_words, unsigned long long *room, long room_words,
	   struct zk_options *wanted, struct zk_result *given)
{
	struct run run = { batch, batch + batch_words };
	int number;

	options = wanted;
	result = given;
	memset(result, 0, sizeof(*result));
	schedule = (struct zk_schedule){ 0 };
	facts = 0;
	zk_points = zk_switches = 0;
	output = output_at = room;
	output_end = room + room_words;
#if defined(ZK_ASAN) || defined(ZK_UBSAN)
	zk_step_at = &result->step;
#endif
	result->reported = zk_guarded(run_program, &run, wanted->seconds);
	zk_parallel = 0;
	if (result->reported) {
		memcpy(result->kind, zk_verdict.kind, sizeof(result->kind));
		memcpy(result->rule, zk_verdict.rule, sizeof(result->rule));
		memcpy(result->field, zk_verdict.field, sizeof(result->field));
		memcpy(result->message, zk_verdict.message, sizeof(result->message));
		memcpy(result->file, zk_verdict.file, sizeof(result->file));
		memcpy(result->function, zk_verdict.function, sizeof(result->function));
		result->line = zk_verdict.line;
		result->lane = zk_verdict.lane;
		result->crashed = zk_verdict.crashed;
		result->crash_offset = zk_verdict.crash_offset;
	}
	wanted->record_count = schedule.record_count;
	result->points = zk_points;
	result->switches = zk_switches;
	for (number = 0; ran_parallel && number < ZK_MAX_LANES; number++)
		result->lane_points[number] = zk_lane_points(number);
	result->checks = facts;
	result->words = output_at - output;
	result->ticks = zk_ticks;
	result->locks = zk_locks_taken;
	result->features_count = features_count;
	return result->reported;
}

unsigned int *zk_features(void)
{
	return feature_list;
}

/* What the source was found to have, for `zsfuzz kernel list` and for the era rules. */
const char *zk_feature_words(void)
{
	return ZK_FEATURE_WORDS;
}
