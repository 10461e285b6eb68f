/*
 * list.h: the kernel's doubly linked lists, with the checks of CONFIG_DEBUG_LIST, each operation one step.
 */
#ifndef ZK_LIST_H
#define ZK_LIST_H

struct list_head {
	struct list_head *next, *prev;
};

#define LIST_POISON1 ((struct list_head *)0xDEAD000000000100UL)
#define LIST_POISON2 ((struct list_head *)0xDEAD000000000122UL)

_Noreturn void zk_list_corrupt(const char *what);

static inline void zk_list_insert(struct list_head *entry, struct list_head *before, struct list_head *after)
{
	zk_point();
	zk_check(entry, sizeof(*entry));
	zk_check(before, sizeof(*before));
	zk_check(after, sizeof(*after));
	if (unlikely(after->prev != before || before->next != after || entry == before || entry == after))
		zk_list_corrupt("list_add");
	after->prev = entry;
	entry->next = after;
	entry->prev = before;
	before->next = entry;
}

static inline void zk_list_remove(struct list_head *entry)
{
	struct list_head *before, *after;

	zk_point();
	zk_check(entry, sizeof(*entry));
	before = entry->prev;
	after = entry->next;
	if (unlikely(after == LIST_POISON1 || before == LIST_POISON2))
		zk_list_corrupt("list_del of an entry that is on no list");
	zk_check(before, sizeof(*before));
	zk_check(after, sizeof(*after));
	if (unlikely(before->next != entry || after->prev != entry))
		zk_list_corrupt("list_del");
	after->prev = before;
	before->next = after;
}

static inline void zk_list_init(struct list_head *head)
{
	head->next = head;
	head->prev = head;
}

static inline void zk_list_del(struct list_head *entry)
{
	zk_list_remove(entry);
	entry->next = LIST_POISON1;
	entry->prev = LIST_POISON2;
}

static inline void zk_list_del_init(struct list_head *entry)
{
	zk_list_remove(entry);
	zk_list_init(entry);
}

static inline bool zk_list_empty(const struct list_head *head)
{
	zk_point();
	zk_check(head, sizeof(*head));
	return head->next == head;
}

static inline void zk_list_splice_init(struct list_head *list, struct list_head *head)
{
	struct list_head *first, *last, *at = head->next;

	if (zk_list_empty(list))
		return;
	first = list->next;
	last = list->prev;
	zk_check(first, sizeof(*first));
	zk_check(last, sizeof(*last));
	first->prev = head;
	head->next = first;
	last->next = at;
	at->prev = last;
	zk_list_init(list);
}

/* Step along a list; what is stepped on must be alive. */
static inline struct list_head *zk_list_next(const struct list_head *entry)
{
	zk_point();
	zk_check(entry, sizeof(*entry));
	return entry->next;
}

#define LIST_HEAD(name) struct list_head name = { &(name), &(name) }
#define INIT_LIST_HEAD(head) (ZK_AT(), zk_list_init(head))
#define list_add(entry, head) ({ struct list_head *h_ = (head); ZK_AT(); zk_list_insert(entry, h_, h_->next); })
#define list_add_tail(entry, head) ({ struct list_head *h_ = (head); ZK_AT(); zk_list_insert(entry, h_->prev, h_); })
#define list_del(entry) (ZK_AT(), zk_list_del(entry))
#define list_del_init(entry) (ZK_AT(), zk_list_del_init(entry))
#define list_empty(head) (ZK_AT(), zk_list_empty(head))
#define list_splice_init(list, head) (ZK_AT(), zk_list_splice_init(list, head))
#define list_entry(pointer, type, member) container_of(pointer, type, member)
#define list_first_entry(head, type, member) (ZK_AT(), list_entry(zk_list_next(head), type, member))
#define list_first_entry_or_null(head, type, member)                                                                  \
	({                                                                                                             \
		struct list_head *head_ = (head), *first_;                                                             \
		ZK_AT();                                                                                               \
		first_ = zk_list_next(head_);                                                                          \
		first_ != head_ ? list_entry(first_, type, member) : NULL;                                             \
	})
#define list_for_each_entry(position, head, member)                                                                   \
	for (position = list_first_entry(head, __typeof__(*position), member); &position->member != (head);           \
	     position = list_entry(zk_list_next(&position->member), __typeof__(*position), member))
#define list_for_each_entry_safe(position, after, head, member)                                                       \
	for (position = list_first_entry(head, __typeof__(*position), member),                                        \
	    after = list_entry(zk_list_next(&position->member), __typeof__(*position), member);                       \
	     &position->member != (head); position = after,                                                            \
	    after = list_entry(zk_list_next(&after->member), __typeof__(*after), member))

#endif
