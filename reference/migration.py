"""Migration: the callbacks by which the core isolates, moves and puts back component pages; the deferred
worker.

In:    struct pages that the core has locked; the pool's work item.
Out:   Migration: zs_page_isolate(), zs_page_migrate(), zs_page_putback(), async_free_zspage().
Never: decides which page moves where: the core does.
Next:  the pool that these belong to in reference/pool.py.

The first isolated page takes its zspage off the fullness list, the last one that comes back puts it there
again. In between objects may be freed but not allocated, and the zspage stays even when it is empty: whoever
puts it back then schedules the worker, because the page lock that the core holds forbids freeing on the spot.
"""

from __future__ import annotations

from collections.abc import Iterator

from reference.compaction import Compaction
from reference.layout import (
    CLASS_FULLNESS_LIST,
    CLASS_LOCK,
    CLASS_SIZE,
    CLASS_SPINLOCK,
    HANDLE_PIN_BIT,
    POOL_DESTROYING,
    POOL_FREE_PAGES,
    POOL_FREE_WORK,
    POOL_INODE,
    POOL_ISOLATED_PAGES,
    POOL_MIGRATION_WAIT,
    ZSPAGE_LIST,
)
from reference.lifetime import ZS_EMPTY
from zsfuzz.machine.layout import EAGAIN, EINVAL, PG_INDEX
from zsfuzz.machine.machine import AddressSpaceOperations, Kernel
from zsfuzz.policy.size_class import OBJ_ALLOCATED_TAG
from zsfuzz.target.protocol import MIGRATE_SYNC_NO_COPY, MIGRATEPAGE_SUCCESS


class Migration(Compaction):
    """Page migration and deferred freeing. Return codes are 0 or -errno."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.zsmalloc_aops = kernel.register_address_space_operations(
            AddressSpaceOperations(self.zs_page_isolate, self.zs_page_migrate, self.zs_page_putback)
        )
        self.free_work_function = kernel.register_work_function(self.async_free_zspage)

    # -- zspages and their pool

    def SetZsPageMovable(self, pool: int, zspage: int) -> None:
        """Mark every page of a finished zspage movable. Errors: Report for a page that somebody has locked.

        Source: SetZsPageMovable(), v5.10; without CONFIG_COMPACTION an empty stub. Strays: no.
        """
        if not self.k.compaction_enabled:
            return
        page = self.get_first_page(zspage)
        while page:
            lock = self.d.trylock_page(page)
            if not lock:
                self.k.BUG("WARN_ON !trylock_page", "SetZsPageMovable", "a page of a new zspage is locked")
            self.set_page_movable(page, self.load(pool + POOL_INODE))
            self.d.unlock_page(page, lock)
            page = self.get_next_page(page)

    def putback_zspage_deferred(self, pool: int, size_class: int, zspage: int) -> None:
        """List a zspage again; an empty one is left to the worker.

        Source: putback_zspage_deferred(), v5.10.
        """
        if self.putback_zspage(size_class, zspage) == ZS_EMPTY:
            self.k.schedule_work(pool + POOL_FREE_WORK)

    def zs_pool_dec_isolated(self, pool: int) -> None:
        """Count one isolated zspage less and wake whoever destroys the pool. Errors: Report for a count of 0.

        Source: zs_pool_dec_isolated(), v5.10 with afe8605ca454. Strays: no.
        """
        if not 0 < self.load(pool + POOL_ISOLATED_PAGES) < 1 << 63:
            self.k.BUG("VM_BUG_ON isolated_pages <= 0", "zs_pool_dec_isolated", "no zspage is isolated")
        self.k.atomic_add(pool + POOL_ISOLATED_PAGES, -1)
        self.k.smp_mb()
        if not self.load(pool + POOL_ISOLATED_PAGES) and self.load(pool + POOL_DESTROYING):
            self.k.wake_up_all(pool + POOL_MIGRATION_WAIT)

    def replace_sub_page(self, size_class: int, zspage: int, newpage: int, oldpage: int) -> None:
        """Put newpage into the chain where oldpage was; oldpage keeps its own words until reset_page().

        Source: replace_sub_page(), v5.10. Strays: no.
        """
        pages = []
        page = self.get_first_page(zspage)
        while page:
            pages.append(newpage if page == oldpage else page)
            page = self.get_next_page(page)
        self.create_page_chain(size_class, zspage, pages)
        self.take_over_page_words(newpage, oldpage)
        self.set_page_movable(newpage, self.d.page_mapping(oldpage))

    def take_over_page_words(self, newpage: int, oldpage: int) -> None:
        """Copy the first-object offset, and a huge page's handle.

        Source: replace_sub_page(), v5.10. Strays: no.
        """
        self.set_first_obj_offset(newpage, self.get_first_obj_offset(oldpage))
        if self.PageHugeObject(oldpage):
            self.store(newpage + PG_INDEX, self.load(oldpage + PG_INDEX))

    # -- callbacks of the core, which holds the page locks

    def _check_callback(self, page: int, caller: str, isolated: bool) -> None:
        """Errors: Report for a page that is not movable, or whose PG_isolated is not as it should be."""
        if not self.d.PageMovable(page):
            self.k.BUG("VM_BUG_ON !PageMovable", caller, "the page is not movable")
        if self.d.PageIsolated(page) != isolated:
            self.k.BUG(f"VM_BUG_ON {'!' if isolated else ''}PageIsolated", caller, "PG_isolated is wrong")

    def pool_of_page(self, page: int) -> int:
        """Return the pool that page->mapping leads to. Source: zs_page_isolate(), v5.10. Strays: no."""
        return self.k.mapping_private_data(self.d.page_mapping(page))

    def zs_page_isolate(self, page: int, mode: int) -> bool:
        """Return whether a page may be isolated: not of an empty zspage, nor of one under compaction.

        page: locked. mode: isolate_mode_t, not looked at. Errors: Report for a page that is not movable or
        isolated. Source: zs_page_isolate(), v5.10. Strays: no.
        """
        self._check_callback(page, "zs_page_isolate", isolated=False)
        zspage = self.get_zspage(page)
        class_idx, _ = self.get_zspage_mapping(zspage)
        pool = self.pool_of_page(page)
        size_class = self.class_of(pool, class_idx)
        self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        isolates = self.may_isolate(zspage)
        if isolates:
            self.isolate_component(pool, size_class, zspage)
        self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        return isolates

    def may_isolate(self, zspage: int) -> bool:
        """Return whether a zspage has live objects and is on its list or isolated already.

        Source: zs_page_isolate(), v5.10. Strays: no.
        """
        if self.get_zspage_inuse(zspage) == 0:
            return False
        return not self.k.list_empty(zspage + ZSPAGE_LIST) or bool(self.is_zspage_isolated(zspage))

    def isolate_component(self, pool: int, size_class: int, zspage: int) -> None:
        """Count one isolated page; the first one takes the zspage off its list and counts in the pool.

        Source: zs_page_isolate(), v5.10. Strays: no.
        """
        if not self.k.list_empty(zspage + ZSPAGE_LIST) and not self.is_zspage_isolated(zspage):
            _, fullness = self.get_zspage_mapping(zspage)
            self.k.atomic_add(pool + POOL_ISOLATED_PAGES, 1)
            self.remove_zspage(size_class, zspage, fullness)
        self.inc_zspage_isolation(zspage)

    def zs_page_migrate(self, mapping: int, newpage: int, page: int, mode: int) -> int:
        """Move a page's contents, handles and place in the chain to newpage. Returns 0, -EAGAIN or -EINVAL.

        page: locked and isolated; newpage: locked, fresh. mode: enum migrate_mode. -EAGAIN: an object of the
        page is pinned; -EINVAL: MIGRATE_SYNC_NO_COPY. On success the old page has been reset and put. Source:
        zs_page_migrate(), v5.10. Strays: no.
        """
        if mode == MIGRATE_SYNC_NO_COPY:
            return -EINVAL
        self._check_callback(page, "zs_page_migrate", isolated=True)
        zspage = self.get_zspage(page)
        self.migrate_write_lock(zspage)
        class_idx, _ = self.get_zspage_mapping(zspage)
        pool = self.k.mapping_private_data(mapping)
        size_class = self.class_of(pool, class_idx)
        offset = self.get_first_obj_offset(page)
        self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        if not self.get_zspage_inuse(zspage):
            offset = self.page_size  # nothing to look for
        frame = self.k.kmap(page)
        result, slots = self.pin_objects(size_class, page, frame, offset)
        if result == MIGRATEPAGE_SUCCESS:
            self.move_page(pool, size_class, zspage, newpage, page, slots)
            page = newpage
        self.unpin_objects(page, frame, slots)
        self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        self.migrate_write_unlock(zspage)
        return result

    def pin_objects(self, size_class: int, page: int, frame: int, offset: int) -> tuple[int, range]:
        """Pin every live object of a page, from a first-object offset on. frame: address of the page's bytes.

        Returns (0 or -EAGAIN, the offsets of the slots looked at before the one that could not be pinned).
        Source: zs_page_migrate(), v5.10. Strays: no.
        """
        size = self.load32(size_class + CLASS_SIZE)
        pos = offset
        while pos < self.page_size:
            head = self.obj_to_head(page, frame + pos)
            if head & OBJ_ALLOCATED_TAG and not self.trypin_tag(head & ~OBJ_ALLOCATED_TAG):
                return -EAGAIN, range(offset, pos, size)
            pos += size
        return MIGRATEPAGE_SUCCESS, range(offset, pos, size)

    def pinned_handles(self, page: int, frame: int, slots: range) -> Iterator[int]:
        """Yield the handles of the live objects in some slots. Errors: Report for one that is not pinned.

        page: says whether it is huge, and then holds the handle. Source: zs_page_migrate(), v5.10. Strays:
        no.
        """
        for pos in slots:
            head = self.obj_to_head(page, frame + pos)
            if head & OBJ_ALLOCATED_TAG:
                handle = head & ~OBJ_ALLOCATED_TAG
                if not self.testpin_tag(handle):
                    self.k.BUG("BUG !testpin_tag", "zs_page_migrate", "an object to be moved is not pinned")
                yield handle

    def unpin_objects(self, page: int, frame: int, slots: range) -> None:
        """Unpin what pin_objects() pinned. page: the component now; frame: the bytes it had before.

        The old frame is read after its page was put: the core still holds its own reference.
        Source: zs_page_migrate(), v5.10. Strays: no.
        """
        for handle in self.pinned_handles(page, frame, slots):
            self.unpin_tag(handle)

    def move_page(self, pool: int, size_class: int, zspage: int, newpage: int, page: int, slots: range) -> None:
        """Make newpage the component that page was, its objects pinned; then let page go.

        Source: zs_page_migrate(), v5.10. Strays: no.
        """
        frame = self.k.kmap(page)
        self.k.memcpy(self.k.kmap(newpage), frame, self.page_size)
        for handle in self.pinned_handles(page, frame, slots):
            self.repoint_object(handle, newpage)
        self.replace_sub_page(size_class, zspage, newpage, page)
        self.d.get_page(newpage)
        self.putback_component(pool, size_class, zspage)
        self.move_zone_page_state(newpage, page)
        self.drop_old_page(page)

    def putback_component(self, pool: int, size_class: int, zspage: int) -> None:
        """Count one isolated page less; the last one lists the zspage again.

        Source: zs_page_migrate() and zs_page_putback(), v5.10, which both do so. Strays: no.
        """
        self.dec_zspage_isolation(zspage)
        if not self.is_zspage_isolated(zspage):
            self.putback_zspage_deferred(pool, size_class, zspage)
            self.zs_pool_dec_isolated(pool)

    def repoint_object(self, handle: int, newpage: int) -> None:
        """Let a pinned object's handle name the same slot of newpage.

        Source: zs_page_migrate(), v5.10. Strays: no.
        """
        _, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
        self.record_obj(handle, self.location_to_obj(newpage, obj_idx) | 1 << HANDLE_PIN_BIT)

    def move_zone_page_state(self, newpage: int, page: int) -> None:
        """Count newpage instead of page in NR_ZSPAGES. Source: zs_page_migrate(), v5.10."""
        if self.d.page_zone(newpage) != self.d.page_zone(page):
            self.dec_zone_page_state(page)
            self.inc_zone_page_state(newpage)

    def drop_old_page(self, page: int) -> None:
        """Reset the page that was left and put the zspage's reference. Source: zs_page_migrate(), v5.10."""
        self.reset_page(page)
        self.d.put_page(page)

    def zs_page_putback(self, page: int) -> None:
        """Take back a page that did not migrate; the last one lists the zspage again.

        page: locked and isolated. Errors: Report for any other page. Source: zs_page_putback(), v5.10.
        Strays: no.
        """
        self._check_callback(page, "zs_page_putback", isolated=True)
        zspage = self.get_zspage(page)
        class_idx, _ = self.get_zspage_mapping(zspage)
        pool = self.pool_of_page(page)
        size_class = self.class_of(pool, class_idx)
        self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        self.putback_component(pool, size_class, zspage)
        self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)

    # -- the deferred worker

    def lock_zspage(self, zspage: int) -> tuple[int, ...]:
        """Lock every component page, waiting for those that are taken; return the locks in chain order.

        The chain is read under the migrate lock only, for a page that is not locked yet may migrate away
        meanwhile. Errors: Report when nobody is left who could unlock a page. Source: lock_zspage(), v5.10
        with 2505a981114d. Strays: returns what unlock_page() wants.
        """
        self.migrate_read_lock(zspage)
        while not (lock := self.d.trylock_page(page := self.get_first_page(zspage))):
            self.wait_for_component(zspage, page)
        locks, current = [lock], page
        while page := self.get_next_page(current):
            if lock := self.d.trylock_page(page):
                locks.append(lock)
                current = page
            else:
                self.wait_for_component(zspage, page)
        self.migrate_read_unlock(zspage)
        return tuple(locks)

    def wait_for_component(self, zspage: int, page: int) -> None:
        """Wait for a page lock without the migrate lock, which is dropped and taken again.

        Source: lock_zspage(), v5.10. Strays: no.
        """
        self.d.get_page(page)
        self.migrate_read_unlock(zspage)
        self.d.wait_on_page_locked(page)
        self.d.put_page(page)
        self.migrate_read_lock(zspage)

    def async_free_zspage(self, work: int) -> None:
        """Free every empty zspage of the pool that a work item lies in; CLASS_EMPTY goes on counting them.

        Source: async_free_zspage(), v5.10. Strays: the list of zspages to free hangs in the pool, not on a
        stack.
        """
        pool = work - POOL_FREE_WORK
        head = pool + POOL_FREE_PAGES
        self.splice_empty_zspages(pool, head)
        entry = self.load(head)
        while entry != head:
            following = self.load(entry)
            self.k.list_del(entry)
            self.free_spliced_zspage(pool, entry - ZSPAGE_LIST)
            entry = following

    def splice_empty_zspages(self, pool: int, head: int) -> None:
        """Take the EMPTY zspages of every class. Source: async_free_zspage(), v5.10. Strays: no."""
        self.k.INIT_LIST_HEAD(head)
        for class_idx in self.class_indices:
            size_class = self.class_of(pool, class_idx)
            self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
            self.k.list_splice_init(size_class + CLASS_FULLNESS_LIST + ZS_EMPTY * 16, head)
            self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)

    def free_spliced_zspage(self, pool: int, zspage: int) -> None:
        """Free one zspage that is on no list any more. Source: async_free_zspage(), v5.10. Strays: no."""
        locks = self.lock_zspage(zspage)
        class_idx, fullness = self.get_zspage_mapping(zspage)
        if fullness != ZS_EMPTY:
            self.k.BUG("VM_BUG_ON fullness != ZS_EMPTY", "async_free_zspage", f"fullness is {fullness}")
        size_class = self.class_of(pool, class_idx)
        self.k.spin_lock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
        self.free_zspage_locked(pool, size_class, zspage, locks)
        self.k.spin_unlock(size_class + CLASS_LOCK, CLASS_SPINLOCK)
