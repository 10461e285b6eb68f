/*
 * kernel.h: what every linux/ and asm/ header is replaced by.
 */
#ifndef ZK_KERNEL_H
#define ZK_KERNEL_H

#include "zk/base.h"
#include "zk/lock.h"
#include "zk/list.h"
#include "zk/page.h"
#include "zk/system.h"

#endif
