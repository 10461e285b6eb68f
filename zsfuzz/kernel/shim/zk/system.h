/*
 * system.h: the rest of the kernel around zsmalloc: slab, per-cpu data, work, shrinkers, debugfs, pseudo file system.
 */
#ifndef ZK_SYSTEM_H
#define ZK_SYSTEM_H

/* Slab. Objects have red zones and wait in a quarantine after they are freed. */
struct kmem_cache;
struct kmem_cache *zk_cache_create(const char *name, size_t size);
void zk_cache_destroy(struct kmem_cache *cache);
void *zk_cache_alloc(struct kmem_cache *cache, bool zeroed);
void zk_cache_free(struct kmem_cache *cache, void *object);
void *zk_kmalloc(size_t size, bool zeroed);
void zk_kfree(const void *object);
char *zk_kstrdup(const char *text);
char *zk_kasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define kmem_cache_create(name, size, align, flags, constructor) (ZK_AT(), zk_cache_create(name, size))
#define kmem_cache_destroy(cache) (ZK_AT(), zk_cache_destroy(cache))
#define kmem_cache_alloc(cache, gfp) (ZK_AT(), zk_cache_alloc(cache, false))
#define kmem_cache_zalloc(cache, gfp) (ZK_AT(), zk_cache_alloc(cache, true))
#define kmem_cache_free(cache, object) (ZK_AT(), zk_cache_free(cache, object))
#define kmalloc(size, gfp) (ZK_AT(), zk_kmalloc(size, false))
#define kzalloc(size, gfp) (ZK_AT(), zk_kmalloc(size, true))
#define kzalloc_obj(type, ...) ((__typeof__(type) *)(ZK_AT(), zk_kmalloc(sizeof(type), true)))
#define kfree(object) (ZK_AT(), zk_kfree(object))
#define kstrdup(text, gfp) (ZK_AT(), zk_kstrdup(text))
#define kasprintf(gfp, ...) (ZK_AT(), zk_kasprintf(__VA_ARGS__))

/* Per-cpu data: one copy a lane, made from the initialised variables of a section. */
#define DEFINE_PER_CPU(type, name) __attribute__((section("zkpercpu"), used)) __typeof__(type) name
void *zk_per_cpu(const void *variable, int cpu);
#define per_cpu_ptr(pointer, cpu) ((__typeof__(pointer))zk_per_cpu(pointer, cpu))
#define per_cpu(name, cpu) (*per_cpu_ptr(&(name), cpu))
#define this_cpu_ptr(pointer) per_cpu_ptr(pointer, zk_lane)
#define get_cpu_var(name) per_cpu(name, zk_lane)
#define put_cpu_var(name) ((void)&(name))
#define pagefault_disable() ((void)0)
#define pagefault_enable() ((void)0)
#define in_interrupt() 0
#define cond_resched() (ZK_AT(), zk_point())
enum cpuhp_state { CPUHP_MM_ZS_PREPARE };
int zk_cpuhp_setup(int (*startup)(unsigned int cpu), int (*teardown)(unsigned int cpu));
#define cpuhp_setup_state(state, name, startup, teardown) zk_cpuhp_setup(startup, teardown)
#define cpuhp_remove_state(state) ((void)0)

/* Deferred work. */
struct work_struct {
	void (*function)(struct work_struct *work);
	int queued;
	int running;
};
bool zk_schedule_work(struct work_struct *work);
bool zk_flush_work(struct work_struct *work);
#define INIT_WORK(work, callback) (ZK_AT(), *(work) = (struct work_struct){ .function = (callback) })
#define schedule_work(work) (ZK_AT(), zk_schedule_work(work))
#define flush_work(work) (ZK_AT(), zk_flush_work(work))

/* Waiting for a condition. */
struct wait_queue_head { int unused; };
typedef struct wait_queue_head wait_queue_head_t;
#define init_waitqueue_head(head) ((void)(head))
#define wait_event(head, condition)                                                                                   \
	do {                                                                                                           \
		while (!(condition)) {                                                                                 \
			ZK_AT();                                                                                       \
			zk_block(&(head), "wait_event(" #head ")");                                                    \
		}                                                                                                      \
	} while (0)
#define wake_up_all(head) (ZK_AT(), zk_wake(head), zk_point())

/* Shrinkers. */
struct shrink_control {
	gfp_t gfp_mask;
	unsigned long nr_to_scan;
};
struct shrinker {
	unsigned long (*count_objects)(struct shrinker *shrinker, struct shrink_control *control);
	unsigned long (*scan_objects)(struct shrinker *shrinker, struct shrink_control *control);
	long batch;
	int seeks;
	void *private_data;
	bool registered;
};
#define SHRINK_STOP (~0UL)
#define DEFAULT_SEEKS 2
int zk_register_shrinker(struct shrinker *shrinker);
void zk_unregister_shrinker(struct shrinker *shrinker);
struct shrinker *zk_shrinker_alloc(void);
void zk_shrinker_free(struct shrinker *shrinker);
#define register_shrinker(shrinker, ...) (ZK_AT(), zk_register_shrinker(shrinker))
#define unregister_shrinker(shrinker) (ZK_AT(), zk_unregister_shrinker(shrinker))
#define shrinker_alloc(flags, ...) (ZK_AT(), zk_shrinker_alloc())
#define shrinker_register(shrinker) (ZK_AT(), (void)zk_register_shrinker(shrinker))
#define shrinker_free(shrinker) (ZK_AT(), zk_shrinker_free(shrinker))

/*
 * seq_file: the kernel's own show function prints into it. Its numbers are taken as numbers, which is fifty times faster
 * than to print and parse them; the text is made too when somebody wants to read it.
 */
struct seq_file {
	void *private;
	unsigned long *values;
	long values_count, values_room;
	char *text;
	long text_length, text_room;
};
void seq_printf(struct seq_file *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
void seq_puts(struct seq_file *file, const char *text);
struct file_operations { int (*show)(struct seq_file *file, void *unused); };
#define DEFINE_SHOW_ATTRIBUTE(name) static const struct file_operations name##_fops = { .show = name##_show }

struct dentry;
struct dentry *zk_debugfs_create_dir(const char *name, struct dentry *parent);
void zk_debugfs_create_file(const char *name, struct dentry *parent, void *data, const struct file_operations *fops);
void zk_debugfs_remove(struct dentry *dentry);
#define debugfs_initialized() 1
#define debugfs_create_dir(name, parent) (ZK_AT(), zk_debugfs_create_dir(name, parent))
#define debugfs_create_file(name, mode, parent, data, fops) (ZK_AT(), zk_debugfs_create_file(name, parent, data, fops))
#define debugfs_remove_recursive(dentry) (ZK_AT(), zk_debugfs_remove(dentry))

/* The pseudo file system of 5.10, of which zsmalloc wants an inode with a mapping. */
#define ZSMALLOC_MAGIC 0x58295829
struct fs_context { int unused; };
struct super_block { int unused; };
struct vfsmount { struct super_block *mnt_sb; };
struct inode { struct address_space *i_mapping; };
struct file_system_type {
	const char *name;
	int (*init_fs_context)(struct fs_context *context);
	void (*kill_sb)(struct super_block *superblock);
};
void *zk_init_pseudo(struct fs_context *context, unsigned long magic);
struct vfsmount *zk_kern_mount(struct file_system_type *type);
struct inode *zk_alloc_anon_inode(struct super_block *superblock);
void zk_iput(struct inode *inode);
void kill_anon_super(struct super_block *superblock);
#define init_pseudo(context, magic) zk_init_pseudo(context, magic)
#define kern_mount(type) zk_kern_mount(type)
#define kern_unmount(mount) ((void)(mount))
#define alloc_anon_inode(superblock) (ZK_AT(), zk_alloc_anon_inode(superblock))
#define iput(inode) (ZK_AT(), zk_iput(inode))

/* Scatter lists, as zs_obj_read_sg_begin() fills them. */
struct scatterlist {
	struct page *page;
	unsigned int offset, length;
};
#define sg_init_table(list, entries) memset(list, 0, (entries) * sizeof(struct scatterlist))
#define sg_next(list) ((list) + 1)
#define sg_set_page(list, target, size, at)                                                                           \
	(*(list) = (struct scatterlist){ .page = (target), .offset = (at), .length = (size) })

/* The driver calls what module_init() names. */
#define module_init(function) int (*const zk_module_init)(void) = (function)
#define module_exit(function) void (*const zk_module_exit)(void) = (function)

#endif
