/*
 * libc.h: for the shim's own files, which take the small types from libc and not from base.h.
 */
#ifndef ZK_LIBC
#define ZK_LIBC 1
#include <sys/types.h>
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#undef MAX
#endif
