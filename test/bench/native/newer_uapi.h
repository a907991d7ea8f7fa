/* What test/preload needs of Linux 6.11, for hosts whose headers are older. The numbers are the kernel's ABI. */
#pragma once

#include <linux/fs.h>
#include <linux/videodev2.h>

#ifndef PROCMAP_QUERY
struct procmap_query {
  __u64 size, query_flags, query_addr;
  __u64 vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
  __u32 dev_major, dev_minor, vma_name_size, build_id_size;
  __u64 vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)
enum {
  PROCMAP_QUERY_VMA_READABLE = 1, PROCMAP_QUERY_VMA_WRITABLE = 2, PROCMAP_QUERY_VMA_EXECUTABLE = 4,
  PROCMAP_QUERY_VMA_SHARED = 8, PROCMAP_QUERY_COVERING_OR_NEXT_VMA = 16, PROCMAP_QUERY_FILE_BACKED_VMA = 32
};
#endif

#ifndef VIDIOC_REMOVE_BUFS
struct v4l2_remove_buffers {
  __u32 index, count, type, reserved[13];
};
#define VIDIOC_REMOVE_BUFS _IOWR('V', 104, struct v4l2_remove_buffers)
#endif
