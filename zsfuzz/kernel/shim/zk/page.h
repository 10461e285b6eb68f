/*
 * page.h: struct page, its flags, locks and counts, and the frames behind it.
 *
 * 64 bytes, laid out as on x86-64; the kernel versions call its words by different names, all are here side by side.
 */
#ifndef ZK_PAGE_H
#define ZK_PAGE_H

enum pageflags { /* 5.10's order; the machine of the Python targets has the same */
	PG_locked = 0,
	PG_lru = 4,
	PG_active = 5,
	PG_slab = 9,
	PG_owner_priv_1 = 10,
	PG_arch_1 = 11,
	PG_reserved = 12,
	PG_private = 13,
	PG_private_2 = 14,
	PG_writeback = 15,
	PG_head = 16,
	PG_isolated = 18,
	PG_unevictable = 20,
	PG_mlocked = 21,
	PG_movable_ops = 24,
	PG_movable_ops_isolated = PG_isolated,
	NR_PAGEFLAGS = 27,
};
#define ZK_ZONE_SHIFT 62

enum pagetype { PGTY_buddy = 0xf0, PGTY_zsmalloc = 0xf6 };
#define ZK_NO_TYPE 0xffffffffU
#define ZK_BUDDY_TYPE 0xffffff7fU /* ~PG_buddy, as 5.10 marks a free block */

struct address_space;
struct page {
	unsigned long flags;
	union {
		struct list_head lru;
		unsigned long compound_head;
	};
	struct address_space *mapping;
	union {
		unsigned long index;
		unsigned long __folio_index;
		void *freelist;
	};
	unsigned long private;
	union {
		atomic_t _mapcount;
		unsigned int page_type;
		int units;
	};
	atomic_t _refcount;
	unsigned long memcg_data;
};
struct folio { struct page page; };
struct zone { int number; };

#define ZK_MAX_PAGES (2UL << 16)
extern struct page zk_memmap[ZK_MAX_PAGES];
extern char *zk_frames;
extern unsigned long zk_pages_count;

_Noreturn void zk_wild_page(const char *what, const void *page);
static inline unsigned long zk_checked_pfn(const struct page *page, const char *what)
{
	unsigned long offset = (unsigned long)((const char *)page - (const char *)zk_memmap);

	if (unlikely(offset >= zk_pages_count * sizeof(struct page) || offset % sizeof(struct page)))
		zk_wild_page(what, page);
	return offset / sizeof(struct page);
}

struct page *zk_pfn_to_page(unsigned long pfn);
#define pfn_to_page(pfn) (ZK_AT(), zk_pfn_to_page(pfn))
#define page_to_pfn(page) (ZK_AT(), zk_checked_pfn(page, "page_to_pfn"))
struct zone *zk_page_zone(const struct page *page);
#define page_zone(page) (ZK_AT(), zk_page_zone(page))

/* A frame is at a fixed address; mapping one is a point, and checks that the page is allocated. */
void *zk_kmap(const struct page *page);
void zk_kunmap(const void *address);
#define kmap_atomic(page) (ZK_AT(), zk_kmap(page))
#define kunmap_atomic(address) (ZK_AT(), zk_kunmap(address))
#define kmap_local_page(page) (ZK_AT(), zk_kmap(page))
#define kunmap_local(address) (ZK_AT(), zk_kunmap(address))
#define memcpy_from_page(to, page, offset, length) memcpy(to, (char *)kmap_atomic(page) + (offset), length)
#define memcpy_to_page(page, offset, from, length) memcpy((char *)kmap_atomic(page) + (offset), from, length)
#define copy_page(to, from) memcpy(to, from, PAGE_SIZE)
#define kmsan_copy_page_meta(to, from) ((void)0)

static inline bool zk_test_flag(const struct page *page, int bit)
{
	zk_point();
	zk_checked_pfn(page, "page flags");
	return READ_ONCE(page->flags) >> bit & 1;
}
static inline void zk_set_flag(struct page *page, int bit)
{
	zk_point();
	zk_checked_pfn(page, "page flags");
	page->flags |= 1UL << bit;
}
static inline void zk_clear_flag(struct page *page, int bit)
{
	zk_point();
	zk_checked_pfn(page, "page flags");
	page->flags &= ~(1UL << bit);
}
#define PagePrivate(page) (ZK_AT(), zk_test_flag(page, PG_private))
#define SetPagePrivate(page) (ZK_AT(), zk_set_flag(page, PG_private))
#define ClearPagePrivate(page) (ZK_AT(), zk_clear_flag(page, PG_private))
#define PageOwnerPriv1(page) (ZK_AT(), zk_test_flag(page, PG_owner_priv_1))
#define SetPageOwnerPriv1(page) (ZK_AT(), zk_set_flag(page, PG_owner_priv_1))
#define ClearPageOwnerPriv1(page) (ZK_AT(), zk_clear_flag(page, PG_owner_priv_1))
#define SetPageMovableOps(page) (ZK_AT(), zk_set_flag(page, PG_movable_ops))
#define page_private(page) ((page)->private)
#define set_page_private(page, value) ((page)->private = (value))
#define page_mapcount_reset(page) ((page)->_mapcount.counter = -1)

/* Page types of 6.11 and later. */
void zk_set_page_type(struct page *page, unsigned int type);
void zk_clear_page_type(struct page *page, unsigned int type);
static inline bool zk_page_has_type(const struct page *page, unsigned int type)
{
	zk_checked_pfn(page, "page type");
	return page->page_type >> 24 == type;
}
#define PageZsmalloc(page) (ZK_AT(), zk_page_has_type(page, PGTY_zsmalloc))
#define __SetPageZsmalloc(page) (ZK_AT(), zk_set_page_type(page, PGTY_zsmalloc))
#define __ClearPageZsmalloc(page) (ZK_AT(), zk_clear_page_type(page, PGTY_zsmalloc))

/* Locks and references. */
bool zk_trylock_page(struct page *page);
void zk_lock_page(struct page *page);
void zk_unlock_page(struct page *page);
void zk_wait_on_page_locked(struct page *page);
void zk_get_page(struct page *page);
void zk_put_page(struct page *page);
bool zk_get_page_unless_zero(struct page *page);
#define trylock_page(page) (ZK_AT(), zk_trylock_page(page))
#define lock_page(page) (ZK_AT(), zk_lock_page(page))
#define unlock_page(page) (ZK_AT(), zk_unlock_page(page))
#define wait_on_page_locked(page) (ZK_AT(), zk_wait_on_page_locked(page))
#define PageLocked(page) (ZK_AT(), zk_test_flag(page, PG_locked))
#define get_page(page) (ZK_AT(), zk_get_page(page))
#define put_page(page) (ZK_AT(), zk_put_page(page))
#define folio_lock(folio) lock_page(&(folio)->page)
#define folio_trylock(folio) trylock_page(&(folio)->page)
#define folio_unlock(folio) unlock_page(&(folio)->page)
#define folio_wait_locked(folio) wait_on_page_locked(&(folio)->page)
#define folio_get(folio) get_page(&(folio)->page)
#define folio_put(folio) put_page(&(folio)->page)
#define folio_test_locked(folio) (ZK_AT(), zk_test_flag(&(folio)->page, PG_locked))

/* Allocation. */
#define __GFP_HIGHMEM 0x02U
#define __GFP_MOVABLE 0x08U
#define GFP_KERNEL 0xCC0U
#define GFP_NOIO 0xC00U
#define NUMA_NO_NODE (-1)
struct page *zk_alloc_page(gfp_t gfp);
void zk_free_page(struct page *page);
#define alloc_page(gfp) (ZK_AT(), zk_alloc_page(gfp))
#define alloc_pages_node(nid, gfp, order) ({ (void)(nid); alloc_page(gfp); })
#define __free_page(page) (ZK_AT(), zk_free_page(page))

/* Counters of zones. */
enum zone_stat_item { NR_FREE_PAGES, NR_ZSPAGES, NR_ISOLATED, NR_VM_ZONE_STAT_ITEMS };
void zk_mod_zone_page_state(const struct page *page, enum zone_stat_item item, long delta);
#define inc_zone_page_state(page, item) (ZK_AT(), zk_mod_zone_page_state(page, item, 1))
#define dec_zone_page_state(page, item) (ZK_AT(), zk_mod_zone_page_state(page, item, -1))

/* Movable pages: how the owner is named changed twice. */
#define PAGE_MAPPING_MOVABLE 2UL
#define PAGE_MAPPING_FLAGS 3UL
enum migrate_mode { MIGRATE_ASYNC, MIGRATE_SYNC_LIGHT, MIGRATE_SYNC, MIGRATE_SYNC_NO_COPY };
#define MIGRATEPAGE_SUCCESS 0
struct movable_operations {
	bool (*isolate_page)(struct page *page, isolate_mode_t mode);
	int (*migrate_page)(struct page *to, struct page *from, enum migrate_mode mode);
	void (*putback_page)(struct page *page);
};
struct address_space_operations {
	bool (*isolate_page)(struct page *page, isolate_mode_t mode);
	int (*migratepage)(struct address_space *mapping, struct page *to, struct page *from, enum migrate_mode mode);
	void (*putback_page)(struct page *page);
};
struct address_space {
	const struct address_space_operations *a_ops;
	void *private_data;
};
bool zk_page_movable(struct page *page);
void zk_set_page_movable(struct page *page, const void *owner);
void zk_clear_page_movable(struct page *page);
int zk_set_movable_ops(const struct movable_operations *ops, int type);
#define PageMovable(page) (ZK_AT(), zk_page_movable(page))
#define PageIsolated(page) (ZK_AT(), zk_test_flag(page, PG_isolated))
#if ZK_COMPACTION
#define __SetPageMovable(page, owner) (ZK_AT(), zk_set_page_movable(page, owner))
#define __ClearPageMovable(page) (ZK_AT(), zk_clear_page_movable(page))
#else /* without CONFIG_COMPACTION the kernel has empty stubs */
#define __SetPageMovable(page, owner) ((void)(page))
#define __ClearPageMovable(page) ((void)(page))
#endif
#define set_movable_ops(ops, type) (ZK_AT(), zk_set_movable_ops(ops, type))
#define page_mapping(page) ((struct address_space *)((unsigned long)(page)->mapping & ~PAGE_MAPPING_FLAGS))

#endif
