/*
 * slab.c: kmem_cache and kmalloc over one heap, with red zones, a quarantine and a map of what is alive.
 *
 *     [ header | object bytes ....... | red zone ]
 *
 * A freed object is filled with poison and waits before it is handed out again. Locks, lists and atomics ask the map of live
 * words before they touch anything (zk_check), so that a use after free is reported with file and line at once.
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

#define HEAP_BYTES ZK_HEAP_BYTES
#define REDZONE_BYTES 16
#define REDZONE_FILL 0xBB
#define ALIVE 0x11A1
#define FREED 0xF4EED

struct header {
	long state;
	struct zk_slab_cache *cache;
	char *next;
	const struct zk_site *site; /* where it was allocated, then where it was freed */
};

char zk_heap[HEAP_BYTES] __attribute__((aligned(64)));
unsigned char zk_heap_live[HEAP_BYTES / 8];
static char *saved_heap;
static unsigned char *saved_live;
static long saved_bytes;

static struct header *header_of(const void *object)
{
	return (struct header *)((char *)object - sizeof(struct header));
}

void zk_slab_boot(void)
{
	if (!saved_heap) {
		int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

		saved_heap = mmap(NULL, 4UL << 20, protection, flags, -1, 0);
		saved_live = mmap(NULL, (4UL << 20) / 8, protection, flags, -1, 0);
		if (saved_heap == MAP_FAILED || saved_live == MAP_FAILED)
			abort();
	}
	ZK_UNPOISON(zk_heap, HEAP_BYTES);
	memset(zk_heap_live, 0, HEAP_BYTES / 8);
	ZK_POISON(zk_heap + 64, HEAP_BYTES - 64);
	zk_state.heap_top = zk_heap + 64; /* address 0 of the heap stays unused */
	zk_state.caches_count = 0;
}

void zk_slab_save(void)
{
	saved_bytes = zk_state.heap_top - zk_heap;
	if (saved_bytes > 4L << 20)
		abort();
	ZK_UNPOISON(zk_heap, saved_bytes);
	memcpy(saved_heap, zk_heap, saved_bytes);
	memcpy(saved_live, zk_heap_live, saved_bytes / 8 + 1);
}

/* zk_state still says how far the heap was used. */
void zk_slab_restore(void)
{
	long used = zk_state.heap_top - zk_heap;

	ZK_UNPOISON(zk_heap, used);
	memcpy(zk_heap, saved_heap, saved_bytes);
	memset(zk_heap_live + saved_bytes / 8, 0, (used - saved_bytes) / 8 + 1);
	memcpy(zk_heap_live, saved_live, saved_bytes / 8 + 1);
}

#ifdef ZK_ASAN
/* The sanitizer's own shadow is not in the snapshot: freed objects, headers between them and the rest of the heap. */
static void poison_again(void)
{
	int number, at;
	char *object;

	ZK_POISON(zk_heap + saved_bytes, HEAP_BYTES - saved_bytes);
	for (number = 0; number < zk_state.caches_count; number++) {
		struct zk_slab_cache *cache = &zk_state.caches[number];

		for (object = cache->free_list; object; object = header_of(object)->next)
			ZK_POISON(object, cache->size);
		for (at = 0; at < cache->ring_used; at++)
			ZK_POISON(cache->ring[(cache->ring_at + at) % ZK_QUARANTINE], cache->size);
	}
}
#else
static void poison_again(void)
{
}
#endif

void zk_slab_poison_again(void)
{
	poison_again();
}

static char *carve(size_t bytes)
{
	char *at = zk_state.heap_top;

	if (at + bytes + 64 > zk_heap + HEAP_BYTES)
		zk_report("bug", "heap exhausted", "", "the slab heap is full; give the program fewer slots");
	zk_state.heap_top = at + bytes;
	ZK_UNPOISON(at, bytes);
	return at;
}

static struct zk_slab_cache *new_cache(const char *name, size_t size)
{
	struct zk_slab_cache *cache;
	int number;

	for (number = 0; number < zk_state.caches_count && zk_state.caches[number].in_use; number++)
		;
	if (number == zk_state.caches_count && zk_state.caches_count++ == ZK_MAX_CACHES)
		zk_report("bug", "too many caches", "", "more caches than the shim has room for");
	cache = &zk_state.caches[number];
	memset(cache, 0, sizeof(*cache));
	cache->name = name;
	cache->size = (size + 7) & ~7UL;
	cache->stride = sizeof(struct header) + cache->size + REDZONE_BYTES;
	cache->in_use = true;
	return cache;
}

/* The kinds of allocation that a program can make fail; a cache per pool has a longer name in later versions. */
static const char *known_name(const char *name)
{
	if (!strncmp(name, "zs_handle", 9))
		return "zs_handle";
	if (!strncmp(name, "zspage", 6))
		return "zspage";
	return "other";
}

static bool fails(const struct zk_slab_cache *cache)
{
	if (likely(zk_state.fail_zspage < 0 && zk_state.fail_handle < 0))
		return false;
	if (!strcmp(cache->name, "zs_handle"))
		return zk_fail_hits(&zk_state.fail_handle);
	return !strcmp(cache->name, "zspage") && zk_fail_hits(&zk_state.fail_zspage);
}

struct kmem_cache *zk_cache_create(const char *name, size_t size)
{
	zk_point();
	return (struct kmem_cache *)new_cache(known_name(name), size);
}

void zk_cache_destroy(struct kmem_cache *opaque)
{
	struct zk_slab_cache *cache = (struct zk_slab_cache *)opaque;

	zk_point();
	if (!cache)
		return;
	if (!cache->in_use)
		zk_report("memory", "double free", cache->name, "a cache is destroyed twice");
	if (cache->live)
		zk_report("memory", "leak at cache shutdown", cache->name, "%ld objects remain in %s", cache->live,
			  cache->name);
	cache->in_use = false;
}

static void grow(struct zk_slab_cache *cache)
{
	char *object = carve(cache->stride) + sizeof(struct header);
	struct header *header = header_of(object);

	header->state = FREED;
	header->cache = cache;
	header->site = NULL;
	header->next = cache->free_list;
	cache->free_list = object;
	memset(object, ZK_SLAB_POISON, cache->size);
	memset(object + cache->size, REDZONE_FILL, REDZONE_BYTES);
}

static void check_poison(const char *object, const struct zk_slab_cache *cache)
{
	size_t number;

	for (number = 0; number < cache->size; number += 8) {
		unsigned long word;

		memcpy(&word, object + number, 8);
		if (unlikely(word != 0x6B6B6B6B6B6B6B6BUL))
			zk_report("memory", "use-after-free slab", cache->name,
				  "an object of %s was written at offset %zu after it was freed at %s:%d", cache->name, number,
				  header_of(object)->site ? header_of(object)->site->file : "?",
				  header_of(object)->site ? header_of(object)->site->line : 0);
	}
}

static void *allocate(struct zk_slab_cache *cache, bool zeroed)
{
	struct header *header;
	char *object;

	if (!cache->free_list)
		grow(cache);
	object = cache->free_list;
	header = header_of(object);
	ZK_UNPOISON(object, cache->size);
	check_poison(object, cache);
	cache->free_list = header->next;
	header->state = ALIVE;
	header->site = zk_site;
	memset(zk_heap_live + ((object - zk_heap) >> 3), 1, cache->size >> 3);
	cache->live++;
	/* kmalloc'ed memory is zeroed too: the copy buffers that it is for start as those of the Python machine do. */
	memset(object, zeroed || *cache->name == 'k' ? 0 : 0x5A, cache->size);
	return object;
}

static void release(struct zk_slab_cache *cache, char *object)
{
	struct header *header = header_of(object);
	int number;

	for (number = 0; number < REDZONE_BYTES; number++)
		if (unlikely((unsigned char)object[cache->size + number] != REDZONE_FILL))
			zk_report("memory", "out-of-bounds slab", cache->name, "the red zone behind an object of %s is overwritten",
				  cache->name);
	header->state = FREED;
	header->site = zk_site;
	memset(zk_heap_live + ((object - zk_heap) >> 3), 0, cache->size >> 3);
	memset(object, ZK_SLAB_POISON, cache->size);
	ZK_POISON(object, cache->size);
	cache->live--;
	if (cache->ring_used == ZK_QUARANTINE) {
		char *oldest = cache->ring[cache->ring_at];

		header_of(oldest)->next = cache->free_list;
		cache->free_list = oldest;
		cache->ring[cache->ring_at] = object;
		cache->ring_at = (cache->ring_at + 1) % ZK_QUARANTINE;
	} else {
		cache->ring[(cache->ring_at + cache->ring_used++) % ZK_QUARANTINE] = object;
	}
}

static struct header *checked_header(const void *object, const char *verb)
{
	unsigned long offset = (const char *)object - zk_heap;
	struct header *header = header_of(object);

	if (offset < sizeof(*header) || offset >= (unsigned long)(zk_state.heap_top - zk_heap) || offset & 7)
		zk_report("memory", "foreign free", verb, "%s of %p, which is no object", verb, object);
	if (header->state == FREED)
		zk_report("memory", "double free", header->cache->name, "%s of an object of %s that was freed at %s:%d", verb,
			  header->cache->name, header->site ? header->site->file : "?", header->site ? header->site->line : 0);
	if (header->state != ALIVE)
		zk_report("memory", "foreign free", verb, "%s of %p, which is no object", verb, object);
	return header;
}

void *zk_cache_alloc(struct kmem_cache *opaque, bool zeroed)
{
	struct zk_slab_cache *cache = (struct zk_slab_cache *)opaque;

	zk_point();
	return unlikely(fails(cache)) ? NULL : allocate(cache, zeroed);
}

void zk_cache_free(struct kmem_cache *opaque, void *object)
{
	struct header *header;

	zk_point();
	header = checked_header(object, "kmem_cache_free");
	if (header->cache != (struct zk_slab_cache *)opaque)
		zk_report("memory", "foreign free", header->cache->name, "an object of %s is freed to another cache",
			  header->cache->name);
	release(header->cache, object);
}

void *zk_kmalloc(size_t size, bool zeroed)
{
	size_t wanted = size < 64 ? 64 : (size + 63) & ~63UL;
	int number;

	zk_point();
	for (number = 0; number < zk_state.caches_count; number++) {
		struct zk_slab_cache *cache = &zk_state.caches[number];

		if (cache->in_use && cache->size == wanted && !strcmp(cache->name, "kmalloc"))
			return allocate(cache, zeroed);
	}
	return allocate(new_cache("kmalloc", wanted), zeroed);
}

void zk_kfree(const void *object)
{
	zk_point();
	if (object)
		release(checked_header(object, "kfree")->cache, (char *)object);
}

char *zk_kstrdup(const char *text)
{
	size_t length = strlen(text) + 1;
	char *copy = zk_kmalloc(length, true);

	return memcpy(copy, text, length);
}

char *zk_kasprintf(const char *format, ...)
{
	char *text = zk_kmalloc(64, true);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, 64, format, arguments);
	va_end(arguments);
	return text;
}

void zk_check_slow(const void *address, size_t length)
{
	unsigned long value = (unsigned long)address, offset = (const char *)address - zk_heap;

	if (offset < HEAP_BYTES)
		zk_report("memory", "use-after-free slab", "", "an access of %zu bytes to a slab object that is not alive", length);
	if (value < 4096 || value >= 1UL << 47)
		zk_report("memory", "wild access", "", "an access of %zu bytes to %p", length, address);
}

long zk_slab_live(const char *name)
{
	long live = 0;
	int number;

	for (number = 0; number < zk_state.caches_count; number++)
		if (zk_state.caches[number].in_use && !strcmp(zk_state.caches[number].name, name))
			live += zk_state.caches[number].live;
	return live;
}

long zk_slab_live_all(void)
{
	long live = 0;
	int number;

	for (number = 0; number < zk_state.caches_count; number++)
		live += zk_state.caches[number].in_use ? zk_state.caches[number].live : 0;
	return live;
}
