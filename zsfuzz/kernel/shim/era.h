/*
 * era.h: where the versions of mm/zsmalloc.c differ, as far as the driver looks inside. Included after the kernel's file.
 *
 * Every difference is a feature that zsfuzz/kernel/features.py found in the source, none is a version number.
 */
#ifndef ZK_ERA_H
#define ZK_ERA_H

#if ZK_GROUPS == 4
#define ERA_ALLOCATED OBJ_ALLOCATED
#define ERA_USED OBJ_USED
#else
#define ERA_ALLOCATED ZS_OBJS_ALLOCATED
#define ERA_USED ZS_OBJS_INUSE
#endif

static inline struct page *era_first_page(const struct zspage *zspage)
{
#if ZK_ZPDESC
	return (struct page *)zspage->first_zpdesc;
#else
	return zspage->first_page;
#endif
}

static inline bool era_is_huge(const struct size_class *class)
{
	return class->objs_per_zspage == 1 && class->pages_per_zspage == 1;
}

static inline struct page *era_next_page(const struct size_class *class, const struct page *page)
{
	return era_is_huge(class) ? NULL : (struct page *)page->index;
}

static inline struct zspage *era_zspage(const struct page *page)
{
	return (struct zspage *)page->private;
}

static inline long era_offset(const struct page *page)
{
#if ZK_PAGE_TYPE_SHARED
	return page->page_type & 0xffffff;
#else
	return page->units;
#endif
}

static inline int era_isolated(const struct zspage *zspage)
{
#if ZK_ZSPAGE_ISOLATED
	return zspage->isolated;
#else
	(void)zspage;
	return 0;
#endif
}

static inline long era_pool_isolated(const struct zs_pool *pool)
{
#if ZK_POOL_ISOLATED
	return pool->isolated_pages.counter;
#else
	(void)pool;
	return 0;
#endif
}

/* An object's place: pfn << 32 | index in its zspage. */
static inline unsigned long era_place(unsigned long handle)
{
	unsigned long obj = *(unsigned long *)handle;

#if ZK_OBJ_SHIFT
	obj >>= OBJ_TAG_BITS;
#endif
	return obj >> OBJ_INDEX_BITS << 32 | (obj & OBJ_INDEX_MASK);
}

static inline bool era_is_pinned(unsigned long handle)
{
#if ZK_PIN_BIT
	return *(unsigned long *)handle & 1;
#else
	(void)handle;
	return false;
#endif
}

static inline unsigned long era_malloc(struct zs_pool *pool, unsigned long size, gfp_t gfp)
{
#if ZK_MALLOC_NID
	return zs_malloc(pool, size, gfp, NUMA_NO_NODE);
#else
	return zs_malloc(pool, size, gfp);
#endif
}

static inline struct shrinker *era_shrinker(struct zs_pool *pool)
{
#if ZK_SHRINKER_ALLOC
	return pool->shrinker;
#else
	return &pool->shrinker;
#endif
}

static inline bool era_pool_locks_are_free(const struct zs_pool *pool)
{
#if ZK_POOL_LOCK
	if (pool->lock.count)
		return false;
#endif
#if ZK_POOL_MIGRATE_LOCK
	if (pool->migrate_lock.count)
		return false;
#endif
	(void)pool;
	return true;
}

static inline bool era_class_lock_is_free(const struct size_class *class)
{
#if ZK_CLASS_LOCK
	return class->lock.count == 0;
#else
	(void)class;
	return true;
#endif
}

static inline bool era_zspage_lock_is_free(const struct zspage *zspage)
{
#if ZK_ZSPAGE_ZSL
	return zspage->zsl.cnt == 0 && zspage->zsl.lock.count == 0;
#elif ZK_ZSPAGE_LOCK
	return zspage->lock.count == 0;
#else
	(void)zspage;
	return true;
#endif
}

#endif
