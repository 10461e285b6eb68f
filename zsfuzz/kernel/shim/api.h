/* api.h: what Python calls. Plain C, read by cffi too: no macros, no includes. */

struct zk_options {
	unsigned int normal_pages, movable_pages;
	unsigned int level;      /* 0 contract, 1 state, hashed, 2 state, 3 state and bytes */
	unsigned int cadence;    /* steps between full observations, 0: only at the end */
	unsigned int pages;      /* observe the words of struct page too */
	unsigned int audit;      /* check the invariants at the cadence too */
	int seconds;             /* of processor time, after which an operation hangs */
	int policy, chance;      /* of the parallel block */
	unsigned long seed;
	const int *switches;     /* (lane, op, point, to) each, sorted */
	int switches_count;
	int *record;             /* the same form; filled */
	int record_room, record_count;
	unsigned long text;      /* print the class table as text into the output */
};

struct zk_result {
	long words;              /* written to the output; more than there is room for: call again with more */
	long effective, no_ops, step, checks, points, switches, ticks, locks;
	int reported;            /* a report is in the fields below */
	int crashed;             /* the process is not to be trusted any more */
	char kind[24], rule[120], field[48], message[320], file[160], function[64];
	int line, lane;
	unsigned long crash_offset;
	long features_count;
	long lane_points[4];
};

int zk_run(const unsigned long long *batch, long batch_words, unsigned long long *output, long output_room,
	   struct zk_options *options, struct zk_result *result);
unsigned int *zk_features(void);
const char *zk_feature_words(void);
unsigned char *zk_coverage_map(long *length);
long zk_coverage_take(unsigned int *edges, long room);
void zk_coverage_dump(void);
unsigned long zk_image_base(void);
