/*
 * core.c: the side of mm/migrate.c: isolating, moving and putting back movable pages.
 *
 * This is our model of the core's calling sequence, the one of zsfuzz/machine/core/movable.py and move.py (v5.10), cut down to
 * pages whose owner registered callbacks: there is no LRU here. How the owner is found follows the kernel at hand: through
 * page->mapping (an address space, or operations since 6.0) or through set_movable_ops() (6.17 and later).
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

#define PASSES 10 /* NR_MIGRATE_PASSES of migrate_pages() */

/* -- who owns a page */

static unsigned long owner_word(const struct page *page)
{
	return (unsigned long)page->mapping & ~PAGE_MAPPING_FLAGS;
}

#if ZK_SET_MOVABLE_OPS
static bool has_movable_owner(const struct page *page)
{
	return page->flags >> PG_movable_ops & 1 && page->page_type >> 24 == PGTY_zsmalloc;
}

static bool owner_is_there(const struct page *page)
{
	return has_movable_owner(page); /* whether the owner let go is for its own callbacks to say */
}
#else
static bool has_movable_owner(const struct page *page)
{
	return ((unsigned long)page->mapping & PAGE_MAPPING_FLAGS) == PAGE_MAPPING_MOVABLE;
}

static bool owner_is_there(const struct page *page)
{
	return has_movable_owner(page) && owner_word(page);
}
#endif

bool zk_page_movable(struct page *page)
{
	zk_point();
	zk_checked_pfn(page, "PageMovable");
	if (!(page->flags & 1UL << PG_locked))
		zk_bug("VM_BUG_ON_PAGE", "!PageLocked(page)");
	return owner_is_there(page);
}

void zk_set_page_movable(struct page *page, const void *owner)
{
	zk_point();
	zk_checked_pfn(page, "__SetPageMovable");
	if (!(page->flags & 1UL << PG_locked))
		zk_bug("VM_BUG_ON_PAGE", "!PageLocked(page)");
	if ((unsigned long)owner & PAGE_MAPPING_MOVABLE)
		zk_bug("VM_BUG_ON_PAGE", "mapping & PAGE_MAPPING_MOVABLE");
	page->mapping = (struct address_space *)((unsigned long)owner | PAGE_MAPPING_MOVABLE);
}

void zk_clear_page_movable(struct page *page)
{
	if (!zk_page_movable(page))
		zk_bug("VM_BUG_ON_PAGE", "!PageMovable(page)");
	page->mapping = (struct address_space *)PAGE_MAPPING_MOVABLE; /* the owner is gone, the mark stays */
}

int zk_set_movable_ops(const struct movable_operations *ops, int type)
{
	if (type != PGTY_zsmalloc)
		return -EINVAL;
	if (zk_state.movable_ops && ops)
		return -EBUSY;
	zk_state.movable_ops = ops;
	return 0;
}

#if ZK_MOVABLE_BY_MAPPING
#define OPERATIONS(page) (((struct address_space *)owner_word(page))->a_ops)
#define CALL_MIGRATE(page, to, mode) (OPERATIONS(page)->migratepage((struct address_space *)owner_word(page), to, page, mode))
#elif ZK_SET_MOVABLE_OPS
#define OPERATIONS(page) (zk_state.movable_ops)
#define CALL_MIGRATE(page, to, mode) (OPERATIONS(page)->migrate_page(to, page, mode))
#else
#define OPERATIONS(page) ((const struct movable_operations *)owner_word(page))
#define CALL_MIGRATE(page, to, mode) (OPERATIONS(page)->migrate_page(to, page, mode))
#endif

/* -- isolate, put back */

/* Returns 0 with a reference and PG_isolated, or -EBUSY. Source: isolate_movable_page(), v5.10. */
int zk_isolate_page(struct page *page)
{
	bool isolated = false;

	ZK_AT();
	if (!zk_get_page_unless_zero(page))
		return -EBUSY;
	if (has_movable_owner(page) && zk_trylock_page(page)) {
		if (zk_page_movable(page) && !zk_test_flag(page, PG_isolated) && OPERATIONS(page)->isolate_page(page, 0)) {
			if (zk_test_flag(page, PG_isolated))
				zk_bug("WARN_ON", "PageIsolated(page)");
			zk_set_flag(page, PG_isolated);
			isolated = true;
		}
		zk_unlock_page(page);
	}
	if (!isolated)
		zk_put_page(page);
	return isolated ? 0 : -EBUSY;
}

/* Source: putback_movable_pages(), putback_movable_page(), v5.10. */
void zk_putback_page(struct page *page)
{
	ZK_AT();
	if (!zk_test_flag(page, PG_isolated))
		zk_report("bug", "VM_BUG_ON !PageIsolated", "PG_isolated", "a page to be put back is not isolated");
	zk_lock_page(page);
	if (zk_page_movable(page))
		OPERATIONS(page)->putback_page(page);
	zk_clear_flag(page, PG_isolated);
	zk_unlock_page(page);
	zk_put_page(page);
}

/* -- move */

static struct page *new_page_for(struct page *page)
{
	gfp_t gfp = GFP_KERNEL | __GFP_MOVABLE;

	if (zk_page_zone(page)->number == 1)
		gfp |= __GFP_HIGHMEM;
	return zk_alloc_page(gfp);
}

static int move_locked_page(struct page *page, struct page *to, enum migrate_mode mode)
{
	int result;

	if (!zk_test_flag(page, PG_isolated))
		zk_report("bug", "VM_BUG_ON !PageIsolated", "PG_isolated", "PG_isolated is clear on a page that is being moved");
	if (!zk_page_movable(page)) {
		zk_clear_flag(page, PG_isolated);
		return MIGRATEPAGE_SUCCESS;
	}
	result = CALL_MIGRATE(page, to, mode);
	if (result != MIGRATEPAGE_SUCCESS)
		return result;
	if (!zk_test_flag(page, PG_isolated))
		zk_report("bug", "WARN_ON !PageIsolated", "PG_isolated", "the owner cleared PG_isolated by itself");
	zk_clear_flag(page, PG_isolated);
	return result;
}

/* Source: unmap_and_move(), __unmap_and_move(), v5.10. Returns 0, -EAGAIN, -ENOMEM or another -errno for good. */
static int unmap_and_move(struct page *page, bool force, enum migrate_mode mode)
{
	struct page *to;
	int result = -EAGAIN;

	zk_point();
	if (page->_refcount.counter == 1) { /* the owner let go: the isolation has the last reference */
		zk_lock_page(page);
		if (!owner_is_there(page) || ZK_SET_MOVABLE_OPS)
			zk_clear_flag(page, PG_isolated);
		zk_unlock_page(page);
		zk_put_page(page);
		return MIGRATEPAGE_SUCCESS;
	}
	to = new_page_for(page);
	if (!to)
		return -ENOMEM;
	if (!zk_trylock_page(page)) {
		if (!force || mode == MIGRATE_ASYNC)
			goto out;
		zk_lock_page(page);
	}
	if (zk_trylock_page(to)) {
		result = move_locked_page(page, to, mode);
		zk_unlock_page(to);
	}
	zk_unlock_page(page);
out:
	if (result == MIGRATEPAGE_SUCCESS) {
		zk_put_page(to);
		zk_put_page(page);
		return result;
	}
	if (result != -EAGAIN)
		zk_putback_page(page);
	zk_put_page(to);
	return result;
}

/*
 * Migrate isolated pages. left[i] becomes true for what is not on the list any more. Returns how many did not move, or -ENOMEM;
 * what is still on the list is the caller's to put back. Source: migrate_pages(), v5.10.
 */
int zk_migrate_pages(struct page **pages, int count, enum migrate_mode mode, bool *left)
{
	int pass, number, result, retry = 1, failed = 0;

	for (pass = 0; pass < PASSES && retry; pass++) {
		retry = 0;
		for (number = 0; number < count; number++) {
			if (left[number])
				continue;
			result = unmap_and_move(pages[number], pass > 2, mode);
			if (result == -ENOMEM)
				return -ENOMEM;
			if (result == -EAGAIN) {
				retry++;
				continue;
			}
			left[number] = true;
			failed += result != MIGRATEPAGE_SUCCESS;
		}
	}
	return failed + retry;
}
