"""Migration: the three callbacks of the pool's address space, and the worker that frees what they leave.

In:    struct pages that the core has locked, isolated or allocated.
Out:   isolate, migrate, putback; the deferred free; the end of a pool's migrations.
Never: a lock or a reference of the core's.
Next:  the core's list, lock and references in candidate/descriptor.py; the hand-over in candidate/DESIGN.md
       (H05).

The hand-over of one page (H05). No count changes; the roles do:

                     before                                after
    zspage count     owner, the core's isolation of old    owner, the core's isolation
    newpage's own 1  the core's, from alloc_page()         the owner's frame reference
    oldpage's own 1  the owner's frame reference           the core's
    put_page(new)    -                                     redirects: ends the isolation
    put_page(old)    -                                     raw: frees the frame

Source: mm/zsmalloc.c, v5.10: zs_page_isolate() to async_free_zspage().
"""

from __future__ import annotations

from candidate.fullness import ZS_EMPTY
from candidate.layout import (
    POOL_DESTROYING,
    POOL_FREE_PAGES,
    POOL_FREE_WORK,
    POOL_ISOLATED_PAGES,
    POOL_MAPPING,
    POOL_MIGRATION_WAIT,
    POOL_SIZE_CLASS,
)
from candidate.lifetime import OWNER_REFERENCES
from candidate.mapping import Mapping
from zsfuzz.machine.layout import EAGAIN, EINVAL
from zsfuzz.machine.machine import AddressSpaceOperations, Kernel
from zsfuzz.target.protocol import MIGRATE_SYNC_NO_COPY, MIGRATEPAGE_SUCCESS

PINNED = 1 << 0  # BIT(HANDLE_PIN_BIT)


class Migration(Mapping):
    """What the core may do with a component page."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.raw_classes_count = len(kernel.size_classes.index_of)
        self.class_indices = tuple(size_class.index for size_class in kernel.size_classes.classes)
        self.zsmalloc_aops = kernel.register_address_space_operations(
            AddressSpaceOperations(self.zs_page_isolate, self.zs_page_migrate, self.zs_page_putback)
        )
        self.free_work_function = kernel.register_work_function(self.async_free_zspage)

    # -- isolate

    def zs_page_isolate(self, page: int, mode: int) -> bool:
        """Return whether the core may have a page; the first one takes the zspage off its list. Page locked.

        Errors: VM_BUG_ON a page that is not movable or isolated already.
        """
        if not self.d.PageMovable(page):
            self.k.BUG("VM_BUG_ON !PageMovable", "zs_page_isolate", "isolation of a page that is not movable")
        if self.d.PageIsolated(page):
            self.k.BUG("VM_BUG_ON PageIsolated", "zs_page_isolate", "isolation of an isolated page")
        zspage = self.get_zspage(page)
        pool = self.k.mapping_private_data(self.d.page_mapping(page))
        class_ = self.zspage_class(pool, zspage)
        self.lock_class(class_)
        isolated = self.may_isolate(zspage)
        if isolated:
            self.isolate_from_list(pool, class_, zspage)
            self.inc_zspage_isolation(zspage)
        self.unlock_class(class_)
        return isolated

    def may_isolate(self, zspage: int) -> bool:
        """Refuse an empty zspage, and one that compaction has taken off its list."""
        if self.get_zspage_inuse(zspage) == 0:
            return False
        return self.is_listed(zspage) or self.is_zspage_isolated(zspage)

    def isolate_from_list(self, pool: int, class_: int, zspage: int) -> None:
        """At the first isolation take the zspage off its list, so that nothing more is allocated from it."""
        if self.is_listed(zspage) and not self.is_zspage_isolated(zspage):
            self.k.atomic_add(pool + POOL_ISOLATED_PAGES, 1)
            self.remove_zspage(class_, zspage, self.zspage_fullness(zspage))

    # -- migrate

    def zs_page_migrate(self, mapping: int, newpage: int, page: int, mode: int) -> int:
        """Move a component page's content to newpage. Returns 0, -EAGAIN or -EINVAL. Both pages locked.

        Errors: VM_BUG_ON a page that is not movable or not isolated.
        -EAGAIN also while somebody beside the isolators has a reference on the zspage: its head may not
        change (R1).
        """
        if mode == MIGRATE_SYNC_NO_COPY:
            return -EINVAL
        self.must_be_isolated(page, "zs_page_migrate")
        zspage = self.get_zspage(page)
        self.migrate_write_lock(zspage)
        pool = self.k.mapping_private_data(mapping)
        class_ = self.zspage_class(pool, zspage)
        self.lock_class(class_)
        offset = self.first_slot(class_, zspage, page)
        vaddr = self.k.kmap(page)
        end, pinned = self.trypin_objects(class_, zspage, vaddr, offset)
        result = -EAGAIN
        if pinned and self.exchange_page(class_, zspage, newpage, page, offset):
            self.finish_migration(pool, class_, zspage, newpage, page)
            result = MIGRATEPAGE_SUCCESS
        self.unpin_objects(class_, zspage, vaddr, offset, end)
        self.unlock_class(class_)
        self.migrate_write_unlock(zspage)
        return result

    def must_be_isolated(self, page: int, function: str) -> None:
        """VM_BUG_ON a page that is not movable or not isolated."""
        if not self.d.PageMovable(page):
            self.k.BUG("VM_BUG_ON !PageMovable", function, f"{function}() of a page that is not movable")
        if not self.d.PageIsolated(page):
            self.k.BUG("VM_BUG_ON !PageIsolated", function, f"{function}() of a page that is not isolated")

    def first_slot(self, class_: int, zspage: int, page: int) -> int:
        """Return the offset of a page's first object; the end of the page when no object is live."""
        if not self.get_zspage_inuse(zspage):
            return self.k.page_size
        return self.get_first_obj_offset(class_, zspage, page)

    def trypin_objects(self, class_: int, zspage: int, vaddr: int, offset: int) -> tuple[int, bool]:
        """Pin every object that starts in a frame. Returns (offset reached, whether all are pinned)."""
        size = self.class_size(class_)
        while offset < self.k.page_size:
            handle = self.live_handle(class_, zspage, vaddr + offset)
            if handle and not self.trypin_tag(handle):
                return offset, False
            offset += size
        return offset, True

    def unpin_objects(self, class_: int, zspage: int, vaddr: int, offset: int, end: int) -> None:
        """Unpin what trypin_objects() pinned. Errors: BUG for a handle that is not pinned."""
        for slot in range(vaddr + offset, vaddr + end, self.class_size(class_)):
            handle = self.live_handle(class_, zspage, slot)
            if handle:
                if not self.testpin_tag(handle):
                    self.k.BUG("BUG !testpin_tag", "handle", "an object under migration is not pinned")
                self.unpin_tag(handle)

    def exchange_page(self, class_: int, zspage: int, newpage: int, page: int, offset: int) -> bool:
        """Copy the frame, point the handles at newpage and put it in the old page's place.

        Returns False, with nothing changed but newpage's bytes, when a reference is held that nobody accounts
        for: on the zspage, beside the owner's and one an isolated page, or on newpage, beside the core's.
        """
        references = OWNER_REFERENCES + self.get_isolation(zspage)
        if not self.freeze_zspage(zspage, references):
            return False
        self.k.memcpy(self.k.kmap(newpage), self.k.kmap(page), self.k.page_size)
        attached = self.attach_page(zspage, newpage)
        if attached:
            self.move_handles(class_, zspage, newpage, page, offset)
            self.replace_sub_page(zspage, newpage, page)
            self.detach_exchanged_page(zspage, page)
            if not self.d.PageMovable(newpage):
                self.k.BUG(
                    "VM_BUG_ON !PageMovable",
                    "exchange_page",
                    "a page that took another's place is not movable",
                )
        self.unfreeze_zspage(zspage, references)
        return attached

    def freeze_zspage(self, zspage: int, references: int) -> bool:
        """Keep everybody from getting a reference while a head changes. Returns False if there are others.

        The isolators cannot put theirs meanwhile: to end an isolation they need the page lock first.
        """
        return self.d.page_ref_freeze(zspage, references)

    def unfreeze_zspage(self, zspage: int, references: int) -> None:
        """Give the count back."""
        self.d.page_ref_unfreeze(zspage, references)

    def move_handles(self, class_: int, zspage: int, newpage: int, page: int, offset: int) -> None:
        """Point the handle of every object that starts in a page at newpage; they stay pinned."""
        vaddr = self.k.kmap(page)
        for slot in range(vaddr + offset, vaddr + self.k.page_size, self.class_size(class_)):
            handle = self.live_handle(class_, zspage, slot)
            if handle:
                _, obj_idx = self.obj_to_location(self.handle_to_obj(handle))
                self.record_obj(handle, self.location_to_obj(newpage, obj_idx) | PINNED)

    def replace_sub_page(self, zspage: int, newpage: int, page: int) -> None:
        """Put newpage in a page's place.

        The offset goes with the place, the handle of a huge object is the zspage's.
        """
        self.set_nth_page(zspage, self.page_index(zspage, page), newpage)

    def detach_exchanged_page(self, zspage: int, page: int) -> None:
        """Let a page go that the core still has: it has to read as a released movable page (H20)."""
        self.memdesc_rules().memdesc_detach(page)

    def finish_migration(self, pool: int, class_: int, zspage: int, newpage: int, page: int) -> None:
        """Count the isolation and the zones of an exchange that is done."""
        self.end_isolation(pool, class_, zspage)
        if self.d.page_zone(newpage) != self.d.page_zone(page):
            self.mod_nr_zspages(page, -1)
            self.mod_nr_zspages(newpage, 1)

    # -- putback

    def zs_page_putback(self, page: int) -> None:
        """Take a page back from the core.

        Page locked. Errors: VM_BUG_ON a page that is not movable or not isolated.
        """
        self.must_be_isolated(page, "zs_page_putback")
        zspage = self.get_zspage(page)
        pool = self.k.mapping_private_data(self.d.page_mapping(page))
        class_ = self.zspage_class(pool, zspage)
        self.lock_class(class_)
        self.end_isolation(pool, class_, zspage)
        self.unlock_class(class_)

    def end_isolation(self, pool: int, class_: int, zspage: int) -> None:
        """Count one isolation less; after the last one the zspage goes back to its list."""
        self.dec_zspage_isolation(zspage)
        if not self.is_zspage_isolated(zspage):
            self.putback_zspage_deferred(pool, class_, zspage)
            self.zs_pool_dec_isolated(pool)

    def putback_zspage_deferred(self, pool: int, class_: int, zspage: int) -> None:
        """Put a zspage back; an EMPTY one is the worker's, since the page lock is held here."""
        if self.putback_zspage(class_, zspage) == ZS_EMPTY:
            self.k.schedule_work(pool + POOL_FREE_WORK)

    def zs_pool_dec_isolated(self, pool: int) -> None:
        """Count one isolated zspage less and wake a destroyer.

        The barrier pairs with zs_unregister_migration().
        """
        if self.k.load(pool + POOL_ISOLATED_PAGES) == 0:
            self.k.BUG("VM_BUG_ON isolated_pages", "isolated_pages", "more zspages put back than isolated")
        left = self.k.atomic_add_return(pool + POOL_ISOLATED_PAGES, -1)
        self.k.smp_mb()
        if left == 0 and self.k.read_once(pool + POOL_DESTROYING):
            self.k.wake_up_all(pool + POOL_MIGRATION_WAIT)

    # -- the worker

    def classes_of(self, pool: int) -> list[int]:
        """Return the distinct size classes of a pool, smallest first: those with class->index == i."""
        pointers = pool + POOL_SIZE_CLASS
        classes = [self.k.load(pointers + 8 * index) for index in self.class_indices]
        return [class_ for class_ in classes if class_]

    def async_free_zspage(self, work: int) -> None:
        """The worker: free every EMPTY zspage of a pool. The EMPTY statistic stays behind, as in 5.10."""
        pool = work - POOL_FREE_WORK
        free_pages = pool + POOL_FREE_PAGES
        self.k.INIT_LIST_HEAD(free_pages)
        for class_ in self.classes_of(pool):
            self.lock_class(class_)
            self.k.list_splice_init(self.list_of(class_, ZS_EMPTY), free_pages)
            self.unlock_class(class_)
        while entry := self.k.list_first(free_pages):
            self.k.list_del(entry)
            self.free_spliced_zspage(pool, entry - self.LIST)

    def free_spliced_zspage(self, pool: int, zspage: int) -> None:
        """Free one zspage that only the worker knows any more."""
        lock = self.lock_zspage(zspage)
        class_ = self.zspage_class(pool, zspage)
        self.lock_class(class_)
        self.free_locked_zspage(pool, class_, zspage, lock)
        self.unlock_class(class_)

    # -- the pool's mapping

    def zs_register_migration(self, pool: int) -> bool:
        """Make the mapping that stands for the pool. Returns False without memory."""
        if not self.k.compaction_enabled:
            return True
        mapping = self.k.alloc_address_space(pool, self.zsmalloc_aops)
        self.k.store(pool + POOL_MAPPING, mapping)
        return mapping != 0

    def pool_isolated_are_drained(self, pool: int) -> bool:
        """Return whether the core has no page of a pool."""
        return self.k.load(pool + POOL_ISOLATED_PAGES) == 0

    def zs_unregister_migration(self, pool: int) -> None:
        """Wait until the core has no page of the pool and the worker is done, then drop the mapping."""
        if not self.k.compaction_enabled:
            return
        self.k.write_once(pool + POOL_DESTROYING, 1)
        self.k.smp_mb()
        self.k.wait_event(
            pool + POOL_MIGRATION_WAIT, lambda: self.pool_isolated_are_drained(pool), "isolated pages of a pool"
        )
        self.zs_flush_migration(pool)
        self.k.iput(self.k.load(pool + POOL_MAPPING))

    def zs_flush_migration(self, pool: int) -> None:
        """Wait for the worker."""
        self.k.flush_work(pool + POOL_FREE_WORK)
