/*
 * lock.h: spinlocks, rwlocks, bit locks, with owners counted and lock order checked.
 *
 * A lock that is taken parks the lane: spinning is waiting here. Lock classes are named by the expression that initialises
 * them ("class->lock"). A blocking acquire while another class is held adds an edge to the order graph; a cycle is reported
 * even when nobody deadlocked. A trylock adds no edge.
 */
#ifndef ZK_LOCK_H
#define ZK_LOCK_H

#define ZK_LOCK_CLASSES 24
#define ZK_CLASS_PAGE 0 /* page lock */
#define ZK_CLASS_PIN 1  /* bit spinlock */

struct zk_lock {
	int count; /* > 0: readers; -1: held for writing; 0: free */
	int class_id;
};
typedef struct zk_lock spinlock_t;
typedef struct zk_lock rwlock_t;
typedef struct { int unused; } local_lock_t;
struct lockdep_map { int unused; };
struct lock_class_key { int unused; };

/* An address that lies in the slab heap must belong to a live object. */
void zk_check_slow(const void *address, size_t length);
#define ZK_HEAP_BYTES (32UL << 20)
extern char zk_heap[ZK_HEAP_BYTES];
extern unsigned char zk_heap_live[ZK_HEAP_BYTES / 8]; /* one byte for each 8 of the heap: 1 where a live object is */
static inline void zk_check(const void *address, size_t length)
{
	unsigned long offset = (unsigned long)((const char *)address - zk_heap);

	if (unlikely(offset >= ZK_HEAP_BYTES || !zk_heap_live[offset >> 3]))
		zk_check_slow(address, length);
}

/* What each lane holds: a count a class, and the classes with a count as bits. */
struct zk_held {
	unsigned int mask;
	unsigned short count[ZK_LOCK_CLASSES];
};
extern struct zk_held zk_held[ZK_MAX_LANES];
extern unsigned int zk_known_before[ZK_LOCK_CLASSES]; /* bit h of [c]: class c was taken while h was held, and that is in order */
extern long zk_locks_taken;

void zk_lock_init(struct zk_lock *lock, const char *name, int *class_id);
int zk_lock_class(const char *name);
const char *zk_lock_class_name(int class_id);
void zk_check_order(int class_id, unsigned int held);
void zk_lock_wait(struct zk_lock *lock, bool write);
_Noreturn void zk_lock_unheld(int class_id);

static inline void zk_note_held(int class_id)
{
	zk_held[zk_lane].count[class_id]++;
	zk_held[zk_lane].mask |= 1U << class_id;
	zk_locks_taken++;
}

/* A page lock may be given back by another lane than the one that took it. */
static inline void zk_note_release(int class_id)
{
	struct zk_held *held = &zk_held[zk_lane];

	if (likely(held->count[class_id]) && --held->count[class_id] == 0)
		held->mask &= ~(1U << class_id);
}

static inline void zk_order(int class_id)
{
	unsigned int held = zk_held[zk_lane].mask & ~(1U << class_id);

	if (unlikely(held & ~zk_known_before[class_id]))
		zk_check_order(class_id, held);
}

static inline bool zk_lock_is_free(const struct zk_lock *lock, bool write)
{
	return write ? lock->count == 0 : lock->count >= 0;
}

static inline void zk_lock_acquire(struct zk_lock *lock, bool write)
{
	zk_point();
	zk_check(lock, sizeof(*lock));
	zk_order(lock->class_id);
	if (unlikely(!zk_lock_is_free(lock, write)))
		zk_lock_wait(lock, write);
	lock->count = write ? -1 : lock->count + 1;
	zk_note_held(lock->class_id);
}

static inline bool zk_lock_try(struct zk_lock *lock, bool write)
{
	zk_point();
	zk_check(lock, sizeof(*lock));
	if (!zk_lock_is_free(lock, write))
		return false;
	lock->count = write ? -1 : lock->count + 1;
	zk_note_held(lock->class_id);
	return true;
}

static inline void zk_lock_release(struct zk_lock *lock, bool write)
{
	zk_check(lock, sizeof(*lock));
	if (unlikely(write ? lock->count != -1 : lock->count <= 0))
		zk_lock_unheld(lock->class_id);
	lock->count = write ? 0 : lock->count - 1;
	zk_note_release(lock->class_id);
	if (unlikely(zk_parallel)) {
		zk_wake(lock);
		zk_point();
	}
}

#define ZK_LOCK_INIT(lock) ({ static int class_; ZK_AT(); zk_lock_init((struct zk_lock *)(lock), #lock, &class_); })
#define spin_lock_init(lock) ZK_LOCK_INIT(lock)
#define rwlock_init(lock) ZK_LOCK_INIT(lock)
#define spin_lock(lock) (ZK_AT(), zk_lock_acquire(lock, true))
#define spin_trylock(lock) (ZK_AT(), zk_lock_try(lock, true))
#define spin_unlock(lock) (ZK_AT(), zk_lock_release(lock, true))
#define read_lock(lock) (ZK_AT(), zk_lock_acquire(lock, false))
#define read_unlock(lock) (ZK_AT(), zk_lock_release(lock, false))
#define write_lock(lock) (ZK_AT(), zk_lock_acquire(lock, true))
#define write_lock_nested(lock, depth) (ZK_AT(), zk_lock_acquire(lock, true))
#define write_trylock(lock) (ZK_AT(), zk_lock_try(lock, true))
#define write_unlock(lock) (ZK_AT(), zk_lock_release(lock, true))
#define assert_spin_locked(lock) ZK_BUG_IF("assert_spin_locked", #lock, (lock)->count == 0)
bool zk_lock_is_contended(const struct zk_lock *lock);
#define spin_is_contended(lock) (ZK_AT(), zk_point(), zk_lock_is_contended(lock))
#define rwlock_is_contended(lock) (ZK_AT(), zk_point(), zk_lock_is_contended(lock))
#define SINGLE_DEPTH_NESTING 1

#define INIT_LOCAL_LOCK(name) { 0 }
#define local_lock(lock) ((void)(lock))
#define local_unlock(lock) ((void)(lock))
#define lockdep_init_map(map, name, key, subclass) ((void)(key))
#define rwsem_acquire_read(map, subclass, trylock, address) ((void)(map))
#define rwsem_acquire(map, subclass, trylock, address) ((void)(map))
#define rwsem_release(map, address) ((void)(map))
#define lock_acquired(map, address) ((void)(map))
#define _RET_IP_ 0

/* Bit spinlocks: bit 0 of a handle's word in 5.10. */
void zk_bit_spin_lock(int bit, unsigned long *word);
bool zk_bit_spin_trylock(int bit, unsigned long *word);
void zk_bit_spin_unlock(int bit, unsigned long *word);
bool zk_bit_spin_is_locked(int bit, unsigned long *word);
#define bit_spin_lock(bit, word) (ZK_AT(), zk_bit_spin_lock(bit, word))
#define bit_spin_trylock(bit, word) (ZK_AT(), zk_bit_spin_trylock(bit, word))
#define bit_spin_unlock(bit, word) (ZK_AT(), zk_bit_spin_unlock(bit, word))
#define bit_spin_is_locked(bit, word) (ZK_AT(), zk_bit_spin_is_locked(bit, word))

/* Atomics: each is one step, and a point before it. */
typedef struct { int counter; } atomic_t;
typedef struct { long counter; } atomic_long_t;
#define ZK_ATOMIC(pointer, expression)                                                                                 \
	({                                                                                                             \
		__typeof__(pointer) a_ = (pointer);                                                                    \
		ZK_AT();                                                                                               \
		zk_point();                                                                                            \
		zk_check(a_, sizeof(*a_));                                                                             \
		expression;                                                                                            \
	})
#define atomic_read(a) ZK_ATOMIC(a, a_->counter)
#define atomic_set(a, value) ZK_ATOMIC(a, a_->counter = (value))
#define atomic_inc(a) ZK_ATOMIC(a, (void)(a_->counter++))
#define atomic_dec(a) ZK_ATOMIC(a, (void)(a_->counter--))
#define atomic_xchg(a, value) ZK_ATOMIC(a, ({ __typeof__(a_->counter) old_ = a_->counter; a_->counter = (value); old_; }))
#define atomic_long_read(a) ZK_ATOMIC(a, a_->counter)
#define atomic_long_set(a, value) ZK_ATOMIC(a, a_->counter = (value))
#define atomic_long_inc(a) ZK_ATOMIC(a, (void)(a_->counter++))
#define atomic_long_dec(a) ZK_ATOMIC(a, (void)(a_->counter--))
#define atomic_long_add(value, a) ZK_ATOMIC(a, (void)(a_->counter += (long)(value)))
#define atomic_long_sub(value, a) ZK_ATOMIC(a, (void)(a_->counter -= (long)(value)))
#define smp_mb() zk_point()
#define smp_mb__after_atomic() zk_point()

#endif
