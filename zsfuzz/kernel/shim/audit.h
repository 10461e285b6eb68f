/*
 * audit.h: part of driver.c: the invariants of a quiescent state, the observation, the drain.
 *
 * Everything is read from memory as it lies there: no kernel function is called that could stop at what it finds. What is
 * followed is checked first, so that a broken state gives a report and not a crash.
 */

static struct zspage *owner_of_page[ZK_MAX_PAGES]; /* as found by one audit */
static long facts; /* that held in this run */
static long audit_inuse[ZS_SIZE_CLASSES], audit_zspages[ZS_SIZE_CLASSES], audit_pages, audit_zone_pages[ZK_ZONES];

#define MUST(holds, rule, field, ...)                                                                                  \
	do {                                                                                                           \
		facts++;                                                                                               \
		if (unlikely(!(holds)))                                                                                \
			zk_report("invariant", rule, field, __VA_ARGS__);                                              \
	} while (0)

static int expected_references(const struct page *page)
{
	int number, wanted = 1 + (page->flags >> PG_isolated & 1);

	for (number = 0; number < references_count; number++)
		wanted += references[number].page == page;
	return wanted;
}

static unsigned long header_of_object(const struct size_class *class, struct page **chain, unsigned long index)
{
	unsigned long at = index * class->size;

	if (era_is_huge(class))
		return chain[0]->index;
	return *(unsigned long *)(zk_frames + ((chain[at >> PAGE_SHIFT] - zk_memmap) << PAGE_SHIFT) + offset_in_page(at));
}

/* The pages of a zspage, checked one by one. */
static void follow_chain(const struct zspage *zspage, const struct size_class *class, struct page **chain)
{
	struct page *page = era_first_page(zspage);
	int number;

	for (number = 0; number < class->pages_per_zspage; number++) {
		long start = number * (long)PAGE_SIZE, first = DIV_ROUND_UP(start, class->size) * class->size - start;

		MUST(is_page(page), "I9 chain length", "pages", "page %d of a zspage of class %u is %p", number, class->index, page);
		MUST(era_zspage(page) == zspage, "I9 stale head", "owner", "pfn %ld does not name its zspage", (long)(page - zk_memmap));
		MUST(!owner_of_page[page - zk_memmap], "I9 page in two zspages", "pages", "pfn %ld", (long)(page - zk_memmap));
		MUST((page->flags >> PG_private & 1) == (number == 0), "I9 first page", "PG_private", "page %d of a zspage", number);
		MUST(era_offset(page) == first, "I11 first object offset", "offset", "page %d: %ld, not %ld", number, era_offset(page), first);
		MUST(page->_refcount.counter == expected_references(page), "I6 references", "_refcount", "pfn %ld has %d, not %d",
		     (long)(page - zk_memmap), page->_refcount.counter, expected_references(page));
		MUST(!(page->flags & 1UL << PG_locked), "I5 page locked at quiescence", "PG_locked", "pfn %ld", (long)(page - zk_memmap));
#if ZK_COMPACTION
#if ZK_SET_MOVABLE_OPS
		MUST(page->flags >> PG_movable_ops & 1, "I10 page lost its mapping", "movable_ops", "pfn %ld", (long)(page - zk_memmap));
#else
		MUST((unsigned long)page->mapping & PAGE_MAPPING_MOVABLE && (unsigned long)page->mapping > PAGE_MAPPING_FLAGS,
		     "I10 page lost its mapping", "mapping", "pfn %ld", (long)(page - zk_memmap));
#endif
#endif
		owner_of_page[page - zk_memmap] = (struct zspage *)zspage;
		audit_zone_pages[zk_zone_of(page - zk_memmap)]++;
		chain[number] = page;
		page = era_next_page(class, page);
	}
	MUST(!page, "I9 chain length", "pages", "a zspage of class %u has more than %d pages", class->index, class->pages_per_zspage);
}

static unsigned long next_free(const struct size_class *class, struct page **chain, unsigned long index)
{
	unsigned long at = index * class->size;

	return *(unsigned long *)(zk_frames + ((chain[at >> PAGE_SHIFT] - zk_memmap) << PAGE_SHIFT) + offset_in_page(at)) >> OBJ_TAG_BITS;
}

static void check_free_list(const struct zspage *zspage, const struct size_class *class, struct page **chain)
{
	u8 is_free[PAGE_SIZE / 8] = { 0 };
	long free = class->objs_per_zspage - zspage->inuse, found, tagged = 0;
	unsigned long index = zspage->freeobj;

	for (found = 0; found < free; found++) {
		MUST(index < (unsigned long)class->objs_per_zspage, "I4 free list length", "free list", "ends after %ld of %ld", found, free);
		MUST(!is_free[index], "I4 free list cycle", "free list", "object %lu is on it twice", index);
		is_free[index] = 1;
		index = next_free(class, chain, index);
	}
	if (!era_is_huge(class))
		MUST((unsigned int)index >= (unsigned int)class->objs_per_zspage, "I4 free list length", "free list", "goes on after %ld", free);
	for (index = 0; index < (unsigned long)class->objs_per_zspage; index++)
		tagged += !is_free[index] && header_of_object(class, chain, index) & OBJ_ALLOCATED_TAG;
	MUST(tagged == zspage->inuse, "I1 tagged slots", "header", "%ld objects are tagged, %u in use", tagged, zspage->inuse);
}

static void check_zspage(struct zs_pool *pool, struct zspage *zspage, int listed_in)
{
	struct page *chain[MAX_CHAIN];
	struct size_class *class;

	MUST(is_alive(zspage), "I9 stale head", "owner", "a list or page names a zspage that is not alive");
	MUST(zspage->magic == ZSPAGE_MAGIC, "I9 stale head", "magic", "a zspage has magic %#x", zspage->magic);
	MUST(zspage->class < ZS_SIZE_CLASSES, "I1 class", "class", "no size class has index %u", zspage->class);
	class = pool->size_class[zspage->class];
	MUST(class->index == zspage->class, "I1 class", "class", "class %u is merged into %u", zspage->class, class->index);
	MUST(zspage->inuse <= (unsigned int)class->objs_per_zspage, "I2 inuse", "inuse", "%u of %d", zspage->inuse, class->objs_per_zspage);
	follow_chain(zspage, class, chain);
	MUST((int)zspage->fullness == (int)get_fullness_group(class, zspage), "I3 fullness word", "fullness", "%d, not %d", zspage->fullness,
	     (int)get_fullness_group(class, zspage));
#if ZK_POOL_ISOLATED
	if (zspage->isolated)
		MUST(listed_in < 0, "I3 isolated zspage on a list", "list", "group %d", listed_in);
	else
#endif
		MUST(listed_in == (int)zspage->fullness, "I3 wrong list", "list", "group %d, not %d", listed_in, zspage->fullness);
	MUST(era_zspage_lock_is_free(zspage), "I5 lock held at quiescence", "zspage->lock", "a zspage is locked and nobody runs");
	check_free_list(zspage, class, chain);
	audit_inuse[zspage->class] += zspage->inuse;
	audit_zspages[zspage->class]++;
	audit_pages += class->pages_per_zspage;
}

static void check_lists(struct zs_pool *pool, struct size_class *class)
{
	long group, length;

	for (group = 0; group < (long)ARRAY_SIZE(class->fullness_list); group++) {
		struct list_head *head = &class->fullness_list[group], *entry, *before = head;

		for (entry = head->next, length = 0; entry != head; before = entry, entry = entry->next, length++) {
			MUST(is_alive(entry), "I3 wrong list", "list", "a fullness list leads to what is not alive");
			MUST(entry->prev == before, "I3 wrong list", "list", "a fullness list is corrupted");
			check_zspage(pool, list_entry(entry, struct zspage, list), group);
		}
		if (group || ZK_EMPTY_COUNTED)
			MUST((long)class->stats.objs[group] == length, "I2 fullness statistic", group ? "group" : "empty group",
			     "class %u group %ld has %ld zspages, its statistic says %ld", class->index, group, length,
			     (long)class->stats.objs[group]);
	}
}

static void check_object(long number, struct slot *slot)
{
	struct zs_pool *pool = pools[slot->pool];
	struct size_class *wanted = pool->size_class[get_size_class_index(slot->size + ZS_HANDLE_SIZE)];
	const char *whose = era_is_huge(wanted) ? "huge object" : "object";
	struct page *chain[MAX_CHAIN], *page;
	struct zspage *zspage;
	unsigned long place, index, header;
	int step;

	MUST(is_alive((void *)slot->handle), "I1 handle leads astray", whose, "the handle of h%ld is not alive", number);
	MUST(!era_is_pinned(slot->handle), "I5 lock held at quiescence", "handle pin", "h%ld is pinned and nobody runs", number);
	place = era_place(slot->handle);
	index = place & 0xffffffff;
	MUST(place >> 32 < zk_pages_count, "I1 handle leads astray", whose, "h%ld is at pfn %#lx", number, place >> 32);
	zspage = owner_of_page[place >> 32];
	MUST(zspage, "I1 handle leads astray", whose, "h%ld: no zspage has pfn %lu", number, place >> 32);
	MUST(zspage->class == wanted->index, "I11 wrong size class", "class", "h%ld is in class %u, not %u", number, zspage->class, wanted->index);
	MUST(index < (unsigned long)wanted->objs_per_zspage, "I1 handle leads astray", whose, "h%ld is object %lu", number, index);
	for (step = 0, page = era_first_page(zspage); step < wanted->pages_per_zspage; step++, page = era_next_page(wanted, page))
		chain[step] = page;
	MUST(chain[index * wanted->size >> PAGE_SHIFT] == zk_memmap + (place >> 32), "I1 handle leads astray", whose,
	     "h%ld is object %lu, which is not on pfn %lu", number, index, place >> 32);
	header = header_of_object(wanted, chain, index);
	MUST(header == (slot->handle | OBJ_ALLOCATED_TAG), "I1 header is not the handle", "header", "h%ld: %#lx", number, header);
}

static void check_pool(struct zs_pool *pool, long *live)
{
	int index;

	memset(audit_inuse, 0, sizeof(audit_inuse));
	memset(audit_zspages, 0, sizeof(audit_zspages));
	audit_pages = 0;
	MUST(era_pool_locks_are_free(pool), "I5 lock held at quiescence", "pool->lock", "a pool is locked and nobody runs");
	for (index = 0; index < (int)ZS_SIZE_CLASSES; index++) {
		struct size_class *class = pool->size_class[index];

		if (class->index != (unsigned int)index)
			continue;
		MUST(era_class_lock_is_free(class), "I5 lock held at quiescence", "class->lock", "a class is locked and nobody runs");
		check_lists(pool, class);
	}
	/* What is on no list is isolated (5.10): its pages lead to it. */
	for (index = 0; index < isolated_count; index++) {
		struct zspage *zspage = era_zspage(isolated_pages[index].page);

		if (ZK_POOL_ISOLATED && zspage && is_alive(zspage) && !owner_of_page[isolated_pages[index].page - zk_memmap])
			check_zspage(pool, zspage, -1);
	}
	for (index = 0; index < (int)ZS_SIZE_CLASSES; index++) {
		struct size_class *class = pool->size_class[index];

		if (class->index != (unsigned int)index)
			continue;
		MUST((long)class->stats.objs[ERA_USED] == live[index], "I2 OBJ_USED", "obj_used", "class %d: %ld, live are %ld", index,
		     (long)class->stats.objs[ERA_USED], live[index]);
		MUST((long)class->stats.objs[ERA_USED] == audit_inuse[index], "I2 sum of inuse", "inuse", "class %d: %ld, in use are %ld",
		     index, (long)class->stats.objs[ERA_USED], audit_inuse[index]);
		MUST((long)class->stats.objs[ERA_ALLOCATED] == audit_zspages[index] * class->objs_per_zspage, "I2 OBJ_ALLOCATED",
		     "obj_allocated", "class %d: %ld in %ld zspages", index, (long)class->stats.objs[ERA_ALLOCATED], audit_zspages[index]);
	}
	MUST(pool->pages_allocated.counter == audit_pages, "I2 pages_allocated", "pages", "%ld, not %ld", pool->pages_allocated.counter, audit_pages);
}

/* Every invariant of facts I1 to I11 that can be seen in a quiescent state. */
static void audit(void)
{
	static long live[MAX_POOLS][ZS_SIZE_CLASSES];
	long number;
	int each, zone;

	zk_looking = true;
	memset(owner_of_page, 0, zk_pages_count * sizeof(*owner_of_page));
	memset(audit_zone_pages, 0, sizeof(audit_zone_pages));
	memset(live, 0, sizeof(live));
	for (number = 0; number < slots_used; number++) {
		struct slot *slot = &slots[number];

		if (slot->live)
			live[slot->pool][pools[slot->pool]->size_class[get_size_class_index(slot->size + ZS_HANDLE_SIZE)]->index]++;
	}
	/* With several pools an isolated zspage off its list belongs to one of them: it is left to the first look at one pool. */
	if (pools_count > 1 && ZK_POOL_ISOLATED && isolated_count) {
		zk_looking = false;
		return;
	}
	for (each = 0; each < pools_count; each++)
		check_pool(pools[pool_order[each]], live[pool_order[each]]);
	for (number = 0; number < slots_used; number++)
		if (slots[number].live)
			check_object(number, &slots[number]);
	for (zone = 0; zone < ZK_ZONES; zone++)
		MUST(zk_state.vmstat[zone][NR_ZSPAGES] == audit_zone_pages[zone], "I7 NR_ZSPAGES", "nr_zspages", "zone %d: %ld, not %ld", zone,
		     zk_state.vmstat[zone][NR_ZSPAGES], audit_zone_pages[zone]);
	zk_looking = false;
}

/* -- the observation: what two kernels of one design, or the model and 5.10, must agree on */

static void emit_zspage(const struct zspage *zspage, const struct size_class *class)
{
	struct page *page = era_first_page(zspage), *chain[MAX_CHAIN];
	unsigned long index = zspage->freeobj;
	long left;
	int number;

	emit((unsigned long long)zspage->fullness << 48 | (unsigned long long)era_isolated(zspage) << 32 | zspage->inuse);
	emit((unsigned long long)class->pages_per_zspage << 32 | (class->objs_per_zspage - zspage->inuse));
	for (number = 0; number < class->pages_per_zspage; number++) {
		chain[number] = page;
		emit((unsigned long long)(page - zk_memmap) << 32 | (era_offset(page) & 0xffffffff));
		page = era_next_page(class, page);
	}
	for (left = class->objs_per_zspage - zspage->inuse; left > 0; left--) {
		emit(index);
		index = next_free(class, chain, index);
	}
}

static void observe_class(long step, int pool, struct size_class *class)
{
	int group;

	begin_record(REC_CLASS, step);
	emit((unsigned long long)pool << 32 | class->index);
	emit(class->stats.objs[ERA_ALLOCATED]);
	emit(class->stats.objs[ERA_USED]);
	for (group = 1; group < (int)ARRAY_SIZE(class->fullness_list); group++)
		emit(class->stats.objs[group]);
	end_record(true);
	if (!class->stats.objs[ERA_ALLOCATED])
		return;
	for (group = 0; group < (int)ARRAY_SIZE(class->fullness_list); group++) {
		struct list_head *head = &class->fullness_list[group], *entry;

		if (head->next == head)
			continue;
		begin_record(REC_ZSPAGE, step);
		emit((unsigned long long)pool << 48 | (unsigned long long)group << 32 | class->index);
		for (entry = head->next; entry != head; entry = entry->next)
			emit_zspage(list_entry(entry, struct zspage, list), class);
		end_record(true);
	}
}

static void observe_objects(long step)
{
	static u8 bytes[2 * PAGE_SIZE];
	long number;

	for (number = 0; number < slots_used; number++) {
		struct slot *slot = &slots[number];
		unsigned long place, at, offset, first, words;
		struct size_class *class;
		struct page *page;

		if (!slot->live)
			continue;
		place = era_place(slot->handle);
		page = zk_memmap + (place >> 32);
		class = pools[slot->pool]->size_class[era_zspage(page)->class];
		offset = offset_in_page((place & 0xffffffff) * class->size) + (era_is_huge(class) ? 0 : ZS_HANDLE_SIZE);
		first = min(slot->size, PAGE_SIZE - offset);
		memset(bytes + (slot->size & ~7UL), 0, 8);
		memcpy(bytes, zk_frames + ((place >> 32) << PAGE_SHIFT) + offset, first);
		if (first < slot->size)
			memcpy(bytes + first, zk_frames + ((era_next_page(class, page) - zk_memmap) << PAGE_SHIFT), slot->size - first);
		check_content(number, slot, 0, bytes, slot->size);
		if (options->level != LEVEL_BYTES)
			continue;
		begin_record(REC_OBJECT, step);
		emit(number);
		words = (slot->size + 7) / 8;
		for (at = 0; at < words; at++)
			emit(((unsigned long long *)bytes)[at]);
		end_record(true);
	}
}

static void observe_free_lists(long step)
{
	int zone, order, type;

	begin_record(REC_FREE_LISTS, step);
	for (zone = 0; zone < ZK_ZONES; zone++)
		for (order = 0; order < ZK_MAX_ORDER; order++)
			for (type = 0; type < ZK_MIGRATE_TYPES; type++) {
				struct list_head *head = &zk_state.free_list[zone][order][type], *entry;

				if (head->next == head)
					continue;
				emit((unsigned long long)zone << 48 | (unsigned long long)order << 40 | (unsigned long long)type << 32 | 0xffffffff);
				for (entry = head->next; entry != head; entry = entry->next)
					emit(list_entry(entry, struct page, lru) - zk_memmap);
			}
	end_record(true);
}

static void observe_pages(long step)
{
	unsigned long pfn;

	begin_record(REC_PAGES, step);
	for (pfn = 0; pfn < zk_pages_count; pfn++) {
		const struct page *page = zk_memmap + pfn;

		if (page->_refcount.counter) {
			emit((unsigned long long)pfn << 32 | (page->flags & ((1UL << NR_PAGEFLAGS) - 1)));
			emit((unsigned long long)page->page_type << 32 | (unsigned int)page->_refcount.counter);
			emit(((unsigned long)page->mapping & PAGE_MAPPING_FLAGS) | ((unsigned long)page->mapping > PAGE_MAPPING_FLAGS) << 2 |
			     (unsigned long long)(page->private != 0) << 3 | (unsigned long long)(page->index != 0) << 4);
		}
	}
	end_record(true);
}

static void observe(long step)
{
	int each, index;

	zk_looking = true;
	if (at_state()) {
		for (each = 0; each < pools_count; each++) {
			int pool = pool_order[each];

			begin_record(REC_POOL, step);
			emit(pool);
			emit(pools[pool]->pages_allocated.counter);
			emit(*(unsigned long *)&pools[pool]->stats.pages_compacted);
			emit(era_pool_isolated(pools[pool]));
			emit(zk_state.work_count);
			end_record(true);
			for (index = 0; index < (int)ZS_SIZE_CLASSES; index++)
				if (class_used[pool][index])
					observe_class(step, pool, pools[pool]->size_class[index]);
		}
		observe_free_lists(step);
		if (options->pages)
			observe_pages(step);
	}
	observe_objects(step);
	zk_looking = false;
}

/* Read every object as a user does. */
static void read_everything(void)
{
	long number;

	for (number = 0; number < slots_used; number++)
		if (slots[number].live)
			do_read(number, 0, slots[number].size);
}

/* Give everything back; then what is left must be what was there at boot (I12). */
static void drain(long step)
{
	long number, rounds;
	int zone;

	while (references_count)
		do_put(references[0].slot);
	while (isolated_count)
		do_putback(isolated_pages[0].slot);
	for (number = 0; number < slots_used; number++)
		if (slots[number].live)
			do_free(number);
	for (rounds = 0; zk_state.work_count && rounds < 1000; rounds++)
		zk_run_work();
	for (zone = 0; zone < ZK_ZONES; zone++) {
		MUST(zk_state.vmstat[zone][NR_ZSPAGES] == 0, "I12 drained state", "nr_zspages", "%ld pages of zone %d are left",
		     zk_state.vmstat[zone][NR_ZSPAGES], zone);
		MUST(zk_state.vmstat[zone][NR_FREE_PAGES] == boot_free[zone], "I12 leak", "nr_free_pages", "zone %d: %ld at boot, %ld drained",
		     zone, boot_free[zone], zk_state.vmstat[zone][NR_FREE_PAGES]);
	}
	MUST(zk_slab_live("zs_handle") == boot_handles, "I12 leak", "live zs_handle", "%ld at boot, %ld drained", boot_handles,
	     zk_slab_live("zs_handle"));
	MUST(zk_slab_live("zspage") == boot_zspages, "I12 leak", "live zspage", "%ld at boot, %ld drained", boot_zspages, zk_slab_live("zspage"));
	MUST(!zk_state.work_count, "I12 drained state", "queued work", "work is queued again and again");
	if (pools[0])
		MUST(pools[0]->pages_allocated.counter == 0 && era_pool_isolated(pools[0]) == 0, "I12 drained state", "pool pages",
		     "%ld pages, %ld isolated", pools[0]->pages_allocated.counter, era_pool_isolated(pools[0]));
	MUST(!zk_held[0].mask, "I5 lock held at quiescence", "lock", "a lock is still held after the drain");
	begin_record(REC_DRAINED, step);
	emit(zk_state.vmstat[0][NR_FREE_PAGES]);
	emit(zk_state.vmstat[1][NR_FREE_PAGES]);
	end_record(false);
}
