/*
 * memory.c: the page allocator, struct pages and their references.
 *
 * The buddy allocator follows zsfuzz/machine/buddy.py rule for rule, so that a kernel and the Python reference get the same
 * frames for the same requests. Source of the rules: mm/page_alloc.c, v5.10.
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

enum { MT_UNMOVABLE, MT_MOVABLE, MT_RECLAIMABLE, MT_ISOLATE };
enum { Z_NORMAL, Z_MOVABLE };

#define CHECK_AT_PREP (((1UL << NR_PAGEFLAGS) - 1))
#define CHECK_AT_FREE                                                                                                  \
	(1UL << PG_lru | 1UL << PG_locked | 1UL << PG_private | 1UL << PG_private_2 | 1UL << PG_writeback |            \
	 1UL << PG_reserved | 1UL << PG_slab | 1UL << PG_active | 1UL << PG_unevictable | 1UL << PG_mlocked)

struct zk_state zk_state;
static struct zk_state zk_saved_state;
struct page zk_memmap[ZK_MAX_PAGES];
static struct page *zk_saved_memmap;
char *zk_frames;
unsigned long zk_pages_count;
unsigned long zk_zone_start[ZK_ZONES], zk_zone_end[ZK_ZONES];

static void *zk_map(size_t length)
{
	void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED) {
		perror("mmap");
		abort();
	}
	return at;
}

static void *frame(unsigned long pfn)
{
	return zk_frames + (pfn << PAGE_SHIFT);
}

int zk_zone_of(unsigned long pfn)
{
	return pfn >= zk_zone_start[Z_MOVABLE] ? Z_MOVABLE : Z_NORMAL;
}

/* -- free lists */

static int block_type(unsigned long pfn)
{
	return zk_state.block_type[pfn >> ZK_PAGEBLOCK_ORDER];
}

static unsigned long page_number(const struct page *page)
{
	return page - zk_memmap;
}

static void add_to_free_list(int zone, unsigned long pfn, unsigned int order, int type)
{
	struct page *page = zk_memmap + pfn;
	struct list_head *head = &zk_state.free_list[zone][order][type];

	page->lru.next = head->next;
	page->lru.prev = head;
	head->next->prev = &page->lru;
	head->next = &page->lru;
	page->private = order;
	page->page_type = ZK_BUDDY_TYPE;
}

static void del_from_free_list(unsigned long pfn)
{
	struct page *page = zk_memmap + pfn;

	page->lru.prev->next = page->lru.next;
	page->lru.next->prev = page->lru.prev;
	page->lru.next = LIST_POISON1;
	page->lru.prev = LIST_POISON2;
	page->private = 0;
	page->page_type = ZK_NO_TYPE;
}

static void free_range(int zone)
{
	/* The largest aligned blocks; the lowest pfn comes out first, so it goes in last. */
	static struct { unsigned long pfn; unsigned int order; } blocks[ZK_MAX_PAGES / 16 + 64];
	unsigned long pfn = zk_zone_start[zone], end = zk_zone_end[zone];
	int count = 0;

	while (pfn < end) {
		unsigned int order = ZK_MAX_ORDER - 1;

		while (pfn & ((1UL << order) - 1) || pfn + (1UL << order) > end)
			order--;
		blocks[count].pfn = pfn;
		blocks[count++].order = order;
		pfn += 1UL << order;
	}
	while (count-- > 0) {
		add_to_free_list(zone, blocks[count].pfn, blocks[count].order, block_type(blocks[count].pfn));
		zk_state.vmstat[zone][NR_FREE_PAGES] += 1L << blocks[count].order;
	}
}

/* -- boot, save, restore */

void zk_memory_boot(unsigned long normal_pages, unsigned long movable_pages)
{
	unsigned long pfn;
	int zone, order, type;

	if (!zk_frames) {
		zk_saved_memmap = zk_map(ZK_MAX_PAGES * sizeof(struct page));
		zk_frames = zk_map(ZK_MAX_PAGES << PAGE_SHIFT);
	}
	zk_pages_count = normal_pages + movable_pages;
	zk_zone_start[Z_NORMAL] = 0;
	zk_zone_end[Z_NORMAL] = zk_zone_start[Z_MOVABLE] = normal_pages;
	zk_zone_end[Z_MOVABLE] = zk_pages_count;
	memset(&zk_state, 0, sizeof(zk_state));
	zk_state.fail_page = zk_state.fail_zspage = zk_state.fail_handle = -1;
	memset(zk_state.block_type, MT_MOVABLE, sizeof(zk_state.block_type));
	for (zone = 0; zone < ZK_ZONES; zone++)
		for (order = 0; order < ZK_MAX_ORDER; order++)
			for (type = 0; type < ZK_MIGRATE_TYPES; type++)
				zk_list_init(&zk_state.free_list[zone][order][type]);
	memset(zk_memmap, 0, zk_pages_count * sizeof(struct page));
	ZK_UNPOISON(zk_frames, zk_pages_count << PAGE_SHIFT);
	memset(zk_frames, ZK_FRAME_POISON, zk_pages_count << PAGE_SHIFT);
	ZK_POISON(zk_frames, zk_pages_count << PAGE_SHIFT);
	for (pfn = 0; pfn < zk_pages_count; pfn++) {
		zk_memmap[pfn].flags = (unsigned long)zk_zone_of(pfn) << ZK_ZONE_SHIFT;
		zk_memmap[pfn].lru.next = LIST_POISON1;
		zk_memmap[pfn].lru.prev = LIST_POISON2;
		zk_memmap[pfn].page_type = ZK_NO_TYPE;
	}
	free_range(Z_NORMAL);
	free_range(Z_MOVABLE);
}

void zk_memory_save(void)
{
	zk_saved_state = zk_state;
	memcpy(zk_saved_memmap, zk_memmap, zk_pages_count * sizeof(struct page));
}

void zk_memory_restore(void)
{
	unsigned long pfn;

	/* At boot every frame is free: whatever is not now has bytes that must not be seen by the next program. */
	for (pfn = 0; pfn < zk_pages_count; pfn++) {
		if (zk_memmap[pfn]._refcount.counter) {
			ZK_UNPOISON(frame(pfn), PAGE_SIZE);
			memset(frame(pfn), ZK_FRAME_POISON, PAGE_SIZE);
			ZK_POISON(frame(pfn), PAGE_SIZE);
		}
	}
	memcpy(&zk_state, &zk_saved_state, sizeof(zk_state));
	memcpy(zk_memmap, zk_saved_memmap, zk_pages_count * sizeof(struct page));
}

/* -- allocation */

_Noreturn void zk_list_corrupt(const char *what)
{
	zk_report("memory", "list corruption", what, "%s: the links around an entry do not agree", what);
}

_Noreturn void zk_wild_page(const char *what, const void *page)
{
	zk_report("memory", "no struct page", what, "%s of %p, which is no struct page", what, page);
}

struct page *zk_pfn_to_page(unsigned long pfn)
{
	if (unlikely(pfn >= zk_pages_count))
		zk_report("memory", "wild pfn", "", "pfn_to_page(%#lx): outside of the memory", pfn);
	return zk_memmap + pfn;
}

static _Noreturn void bad_page(const struct page *page, const char *when)
{
	const char *reason = page->page_type != ZK_NO_TYPE	? "nonzero mapcount"
			     : page->mapping			? "non-NULL mapping"
			     : page->_refcount.counter		? "nonzero _refcount"
								: "unexpected flags";
	char rule[64];

	snprintf(rule, sizeof(rule), "I6 bad page at %s", when);
	zk_report("invariant", rule, reason, "bad page at %s: pfn %lu: %s, flags %#lx", when, page_number(page), reason,
		  page->flags & CHECK_AT_PREP);
}

static unsigned long take(int zone, unsigned long pfn, unsigned int current, int type)
{
	del_from_free_list(pfn);
	while (current > 0) {
		current--;
		add_to_free_list(zone, pfn + (1UL << current), current, type);
	}
	zk_state.vmstat[zone][NR_FREE_PAGES]--;
	return pfn;
}

static bool first_free(int zone, unsigned int order, int type, unsigned long *pfn)
{
	struct list_head *head = &zk_state.free_list[zone][order][type];

	if (head->next == head)
		return false;
	*pfn = page_number(list_entry(head->next, struct page, lru));
	return true;
}

static bool rmqueue(int zone, int type, unsigned long *pfn)
{
	static const int fallbacks[3][2] = {
		[MT_UNMOVABLE] = { MT_RECLAIMABLE, MT_MOVABLE },
		[MT_MOVABLE] = { MT_RECLAIMABLE, MT_UNMOVABLE },
		[MT_RECLAIMABLE] = { MT_UNMOVABLE, MT_MOVABLE },
	};
	int order, number;

	for (order = 0; order < ZK_MAX_ORDER; order++) {
		if (first_free(zone, order, type, pfn)) {
			take(zone, *pfn, order, type);
			return true;
		}
	}
	for (number = 0; number < 2; number++) {
		for (order = ZK_MAX_ORDER - 1; order >= 0; order--) {
			unsigned long block;
			int owner;

			if (!first_free(zone, order, fallbacks[type][number], pfn))
				continue;
			owner = block_type(*pfn);
			if (order >= ZK_PAGEBLOCK_ORDER) {
				for (block = *pfn; block < *pfn + (1UL << order); block += 1UL << ZK_PAGEBLOCK_ORDER)
					zk_state.block_type[block >> ZK_PAGEBLOCK_ORDER] = type;
				owner = type;
			}
			take(zone, *pfn, order, owner);
			return true;
		}
	}
	return false;
}

bool zk_fail_hits(long *countdown)
{
	if (likely(*countdown < 0))
		return false;
	return (*countdown)-- == 0;
}

struct page *zk_alloc_page(gfp_t gfp)
{
	bool movable = gfp & __GFP_MOVABLE;
	int zone = movable && gfp & __GFP_HIGHMEM && zk_zone_end[Z_MOVABLE] > zk_zone_start[Z_MOVABLE] ? Z_MOVABLE : Z_NORMAL;
	unsigned long pfn;
	struct page *page;

	zk_point();
	if (unlikely(zk_fail_hits(&zk_state.fail_page)))
		return NULL;
	while (!rmqueue(zone, movable ? MT_MOVABLE : MT_UNMOVABLE, &pfn)) {
		if (zone == Z_NORMAL)
			return NULL;
		zone = Z_NORMAL;
	}
	page = zk_memmap + pfn;
	if (unlikely(page->flags & CHECK_AT_PREP || page->mapping || page->page_type != ZK_NO_TYPE || page->_refcount.counter))
		bad_page(page, "alloc");
	page->private = 0;
	page->_refcount.counter = 1;
	ZK_UNPOISON(frame(pfn), PAGE_SIZE);
	return page;
}

static bool mergeable(int zone, unsigned long pfn, unsigned long buddy, unsigned int order)
{
	(void)pfn;
	if (buddy < zk_zone_start[zone] || buddy + (1UL << order) > zk_zone_end[zone])
		return false;
	return zk_memmap[buddy].page_type == ZK_BUDDY_TYPE && zk_memmap[buddy].private == order;
}

static void free_prepared(unsigned long pfn)
{
	int zone = zk_zone_of(pfn);
	unsigned int order = 0;

	zk_state.vmstat[zone][NR_FREE_PAGES]++;
	while (order < ZK_MAX_ORDER - 1) {
		unsigned long buddy = pfn ^ (1UL << order);

		if (buddy >= zk_pages_count || !mergeable(zone, pfn, buddy, order))
			break;
		del_from_free_list(buddy);
		pfn &= buddy;
		order++;
	}
	add_to_free_list(zone, pfn, order, block_type(pfn));
}

/* The last reference is gone. What free_pages_prepare() clears is cleared, what it refuses is reported. */
static void free_unref_page(struct page *page)
{
	unsigned long pfn = page_number(page);

	if ((unsigned long)page->mapping & PAGE_MAPPING_FLAGS)
		page->mapping = NULL;
#if ZK_STICKY_PAGE_TYPE
	if (page->page_type >> 24 == PGTY_zsmalloc)
		page->page_type = ZK_NO_TYPE;
#endif
	if (page->page_type != ZK_NO_TYPE || page->mapping || page->flags & CHECK_AT_FREE)
		bad_page(page, "free");
	if (page->flags >> PG_isolated & 1)
		zk_report("invariant", "I10 isolated page freed", "PG_isolated", "pfn %lu is freed while isolated", pfn);
	if (page->private)
		zk_report("invariant", "I6 bad page at free", "private", "pfn %lu is freed with private set", pfn);
	page->flags &= ~CHECK_AT_PREP;
	memset(frame(pfn), ZK_FRAME_POISON, PAGE_SIZE);
	ZK_POISON(frame(pfn), PAGE_SIZE);
	free_prepared(pfn);
}

/* -- references */

void zk_get_page(struct page *page)
{
	zk_point();
	zk_checked_pfn(page, "get_page");
	if (page->_refcount.counter <= 0)
		zk_report("bug", "VM_BUG_ON get_page", "_refcount", "get_page() of pfn %lu, which nobody holds",
			  page_number(page));
	page->_refcount.counter++;
}

bool zk_get_page_unless_zero(struct page *page)
{
	zk_point();
	zk_checked_pfn(page, "get_page_unless_zero");
	if (page->_refcount.counter == 0)
		return false;
	page->_refcount.counter++;
	return true;
}

void zk_put_page(struct page *page)
{
	zk_point();
	zk_checked_pfn(page, "put_page");
	if (page->_refcount.counter <= 0)
		zk_report("invariant", "I6 refcount below zero", "_refcount", "put_page() of pfn %lu, which nobody holds",
			  page_number(page));
	if (--page->_refcount.counter == 0)
		free_unref_page(page);
}

void zk_free_page(struct page *page)
{
	zk_put_page(page);
}

/* -- frames */

void *zk_kmap(const struct page *page)
{
	unsigned long pfn = zk_checked_pfn(page, "kmap");

	zk_point();
	if (unlikely(page->_refcount.counter <= 0))
		zk_report("memory", "use-after-free page", "", "pfn %lu is mapped while it is free", pfn);
	return frame(pfn);
}

void zk_kunmap(const void *address)
{
	unsigned long offset = (const char *)address - zk_frames;

	zk_point();
	if (offset >= zk_pages_count << PAGE_SHIFT)
		zk_report("bug", "wild kunmap", "", "kunmap of %p, which is no frame", address);
}

/* -- zones and types */

struct zone *zk_page_zone(const struct page *page)
{
	static struct zone zones[ZK_ZONES] = { { 0 }, { 1 } };

	zk_checked_pfn(page, "page_zone");
	return &zones[page->flags >> ZK_ZONE_SHIFT & 1];
}

void zk_mod_zone_page_state(const struct page *page, enum zone_stat_item item, long delta)
{
	int zone = zk_page_zone(page)->number;

	zk_point();
	zk_state.vmstat[zone][item] += delta;
	if (zk_state.vmstat[zone][item] < 0)
		zk_report("invariant", "I7 zone counter below zero", "nr_zspages", "a counter of zone %d would be %ld", zone,
			  zk_state.vmstat[zone][item]);
}

void zk_set_page_type(struct page *page, unsigned int type)
{
	zk_point();
	zk_checked_pfn(page, "page type");
	if (page->page_type >> 24 == type)
		return;
	if (page->page_type != UINT_MAX)
		zk_report("bug", "VM_BUG_ON page_type", "page_type", "a page type is set on pfn %lu, which has %#x",
			  page_number(page), page->page_type);
	page->page_type = type << 24;
}

void zk_clear_page_type(struct page *page, unsigned int type)
{
	zk_point();
	zk_checked_pfn(page, "page type");
	if (page->page_type == UINT_MAX)
		return;
	if (page->page_type >> 24 != type)
		zk_report("bug", "VM_BUG_ON page_type", "page_type", "a page type is cleared on pfn %lu, which has %#x",
			  page_number(page), page->page_type);
	page->page_type = UINT_MAX;
}
